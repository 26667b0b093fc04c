"""The price lists that come with Hearth, and one's own from a file.

Not here: what a book means (`prices`). Sources, read in 2026: AWS Lambda's list by region as kept
in janritter/aws-lambda-live-tuner (cost/cost.go); tiers from the AWS Compute Blog ("Introducing
tiered pricing for AWS Lambda"); Fargate and EC2 from copies of the AWS price list. Check yours
against AWS before a decision hangs on it, and give your own file where it differs.
"""

from pathlib import Path

from msgspec import json

from shared.codec import UNREADABLE
from tuner.prices import PriceBook, Tier

_REQUEST_USD = 0.000_000_2
_USUAL_X86, _USUAL_ARM = 0.000_016_666_7, 0.000_013_333_4
_X86 = {
    "eu-south-1": 0.000_019_517_2,
    "ap-east-1": 0.000_022_92,
    "af-south-1": 0.000_022_1,
    "me-south-1": 0.000_020_666_7,
    "me-central-1": 0.000_020_666_7,
}
_ARM = {
    "eu-south-1": 0.000_015_613_8,
    "ap-east-1": 0.000_018_3,
    "af-south-1": 0.000_017_68,
    "me-south-1": 0.000_016_533_4,
}
_TIERS_X86 = (6_000_000_000, 15_000_000_000)
_TIERS_ARM = (7_500_000_000, 18_750_000_000)
_DISCOUNTS = (0.9, 0.8)
# Dollars an hour: a vCPU and a GB of Fargate; a GB of an EC2 host that is paid by its memory.
_FARGATE = {"us-east-1": (0.040_48, 0.004_445), "ap-northeast-2": (0.046_56, 0.005_11)}
_EC2 = {
    "us-east-1": ("x2iedn.32xlarge", 26.676, 4_096),
    "ap-northeast-2": ("t3.xlarge", 0.208, 16),
}
_GB_PER_VCPU = 1769 / 1024
_SECONDS_PER_HOUR = 3_600


class PriceBookError(Exception):
    """No such book, or its file cannot be read; the message says what there is."""


def make_lambda_book(region: str, architecture: str = "x86") -> PriceBook:
    """Lambda's prices; a region that is not listed has the usual ones."""
    is_arm = architecture == "arm64"
    usual, listed = (_USUAL_ARM, _ARM) if is_arm else (_USUAL_X86, _X86)
    usd = listed.get(region, usual)
    bounds = _TIERS_ARM if is_arm else _TIERS_X86
    return PriceBook(
        name=f"lambda-{architecture}-{region}",
        gigabyte_second_usd=usd,
        request_usd=_REQUEST_USD,
        tiers=tuple(
            Tier(above_gigabyte_seconds=above, gigabyte_second_usd=round(usd * rest, 10))
            for above, rest in zip(bounds, _DISCOUNTS, strict=True)
        ),
    )


LAMBDA_X86 = make_lambda_book("us-east-1")


def find_book(name: str) -> PriceBook:
    """The book of that name, or in the JSON file of that name.

    Names: lambda-x86-REGION, lambda-arm64-REGION, fargate-REGION, ec2-REGION. Raises
    PriceBookError.
    """
    kind, _, region = name.partition("-")
    if kind == "lambda" and region.startswith(("x86-", "arm64-")):
        architecture, _, region = region.partition("-")
        return make_lambda_book(region, architecture)
    if kind == "fargate" and region in _FARGATE:
        vcpu_usd, gb_usd = _FARGATE[region]
        return _make_host_book(name, vcpu_usd / _GB_PER_VCPU + gb_usd)
    if kind == "ec2" and region in _EC2:
        _, usd, gigabytes = _EC2[region]
        return _make_host_book(name, usd / gigabytes)
    return read_book(Path(name))


def read_book(path: Path) -> PriceBook:
    """Own prices: JSON with the fields of `PriceBook`. Raises PriceBookError."""
    try:
        return json.decode(path.read_bytes(), type=PriceBook)
    except OSError as error:
        message = (
            f"no price book {path}: {error.strerror}. Name lambda-x86-REGION, lambda-arm64-REGION, "
            f"{', '.join(f'fargate-{one}' for one in _FARGATE)}, "
            f"{', '.join(f'ec2-{one}' for one in _EC2)}, or a JSON file"
        )
        raise PriceBookError(message) from error
    except UNREADABLE as error:
        message = f"{path} is no price book: {error}. docs/tuning.md shows one"
        raise PriceBookError(message) from error


def _make_host_book(name: str, hour_usd: float) -> PriceBook:
    """A host is paid by the second, whatever runs: no fee, no steps."""
    return PriceBook(
        name=name, gigabyte_second_usd=hour_usd / _SECONDS_PER_HOUR, step_us=1, init_is_billed=True
    )
