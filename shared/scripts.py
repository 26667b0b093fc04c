"""The Lua scripts: their texts and the digests that Redis knows them by."""

from hashlib import sha1
from pathlib import Path

_FOLDER = Path(__file__).parent

TEXTS = {
    name: (_FOLDER / f"{name}.lua").read_text()
    for name in (
        "accept",
        "archived",
        "bury",
        "claim",
        "commit",
        "grant",
        "hold",
        "keep",
        "lead",
        "leave",
        "mend",
        "offer",
        "plan",
        "publish",
        "purge",
        "requeue",
        "requeued",
        "resign",
        "take",
        "trim",
    )
}
DIGESTS = {
    # Redis names a script by the SHA-1 of its text; nothing is secured by it.
    name: sha1(text.encode(), usedforsecurity=False).hexdigest()
    for name, text in TEXTS.items()
}
