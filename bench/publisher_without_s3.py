"""The publisher with its S3 writes left out: the stand-in for S3 would be measured, not Hearth.

It announces, keeps and commits as always. `bench` says so beside its figures.
"""

from cli.main import main
from publisher.results_bucket import ResultsBucket


def take_nothing(_bucket: ResultsBucket, _key: str, _document: bytes) -> None:
    """As if S3 had taken the document at once."""


if __name__ == "__main__":
    ResultsBucket.write = take_nothing  # type: ignore[method-assign]
    main(["run", "publisher"])
