"""A folder in which another user's new files and folders stay open to us: a default POSIX ACL.

For an executor that is not root while its sandboxes run as another user. Not here: removing.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path

_NAME = "system.posix_acl_default"
_VERSION = 2
_ENTRY = struct.Struct("<HHI")  # tag, permissions, id
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_ALL, _READ = 7, 5
_NOBODY = 0xFFFFFFFF


def keep_rights(folder: Path, user_id: int) -> bool:
    """Whether `user_id` may from now on remove what others make in the folder.

    Not what its maker closes on purpose, and not where the file system knows no ACLs.
    """
    entries = (
        (_OWNER, _ALL, _NOBODY),
        (_USER, _ALL, user_id),
        (_GROUP, _READ, _NOBODY),
        (_MASK, _ALL, _NOBODY),
        (_OTHER, _READ, _NOBODY),
    )
    packed = struct.pack("<I", _VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)
    with suppress(OSError):
        os.setxattr(folder, _NAME, packed)
        return True
    return False
