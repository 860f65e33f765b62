"""What Chroma has on the disk, in one number, so that damage is seen before Chroma maps it."""

import zlib
from pathlib import Path

_BLOCK = 1 << 20


def fingerprint(store: Path) -> str:
    """Checksum of the graphs that Chroma has on the disk.

    It maps these files unchecked: damaged, they end the process (segmentation fault, 1.5.9). A
    folder without metadata is not read but made anew, and its bytes mean nothing.
    """
    total = 0
    for metadata in sorted(store.glob("*/index_metadata.pickle")):
        for file in sorted(metadata.parent.iterdir()):
            with file.open("rb") as data:
                while block := data.read(_BLOCK):
                    total = zlib.crc32(block, total)
            total = zlib.crc32(file.name.encode(), total)
    return f"{total:08x}"
