"""An upload on its way from the socket to a folder: fields and files of a form, written as they come."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from ..formats import looks_like_dicom

SERIES = "DICOM series"
"""What several files are called together."""
MOST_FILES = 5_000
FIELD_BYTES = 10_000
AT_ONCE = 2**20
"""Bytes that are written at once, by another thread than that of the sockets."""
ENDING = re.compile(
    r"\.(?:png|jpe?g|bmp|gif|webp|p[bgpn]m|tiff?|dcm|nii(?:\.gz)?|nrrd|nhdr|mha|mhd|zip)\Z", re.IGNORECASE
)
"""Of names; the only part of one that is taken for a file's: some readers want it."""


@dataclass(frozen=True)
class Upload:
    """What a visitor brought. path: a file, or a folder of DICOM files. name: its own, for people alone."""

    path: Path
    name: str

    def copied(self, folder: Path) -> Upload:
        """The same in another folder: linked, so that it takes no room."""
        target = folder / self.path.name
        if self.path.is_dir():
            target.mkdir()
            for file in self.path.iterdir():
                _link(file, target / file.name)
        else:
            _link(self.path, target)
        return Upload(target, self.name)


@dataclass
class Form:
    """The fields of a form, and the names and paths of its files."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[tuple[str, Path]] = field(default_factory=list)

    def upload(self) -> Upload | None:
        """Its file; several, if they are DICOM, as one series. None without any; ValueError for several others."""
        if len(self.files) < 2:
            return Upload(self.files[0][1], self.files[0][0]) if self.files else None
        others = [name for name, path in self.files if not _is_dicom(path)]
        if others:
            raise ValueError(
                f"{len(self.files)} files come together, and {others[0]} is no DICOM: bring one picture or volume, "
                "or the DICOM files of a series"
            )
        folder = self.files[0][1].parent / SERIES
        folder.mkdir()
        for number, (_, path) in enumerate(self.files):
            path.rename(folder / f"{number:05}.dcm")
        return Upload(folder, SERIES)


def brought(path: str, folder: Path) -> Upload:
    """A file that Gradio received, in a folder of its own."""
    name = Path(path).name
    ending = ENDING.search(name)
    target = folder / f"00000{ending[0].lower() if ending else ''}"
    _link(Path(path), target)
    return Upload(target, name)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copy(source, target)


async def received(content_type: str, chunks: AsyncIterator[bytes], folder: Path) -> Form:
    """A form whose files are written to a folder, by numbers and known endings: a name is no part of a path.

    Raises ValueError for what is no such form.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ValueError("a run is asked for by a form: multipart/form-data with the fields model and file")
    writer = _Writer(folder)
    try:
        parser = MultipartParser(boundary, writer.callbacks())  # type: ignore[arg-type]
        waiting = bytearray()
        async for chunk in chunks:
            waiting += chunk
            if len(waiting) >= AT_ONCE:
                await run_in_threadpool(parser.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(parser.write, bytes(waiting))
        parser.finalize()
    except FormParserError as error:
        raise ValueError(f"the form can't be read ({error}); send it again") from None
    finally:
        writer.close()
    if not writer.ended:
        raise ValueError("the upload was cut off; send it again")
    return writer.form


class _Writer:
    """What the parser tells, in the order in which it comes."""

    def __init__(self, folder: Path) -> None:
        self.form, self.folder, self.ended = Form(), folder, False
        self._header: list[bytes] = [b"", b""]
        self._disposition: dict[bytes, bytes] = {}
        self._file: BinaryIO | None = None
        self._value = bytearray()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self.begin,
            "on_header_field": lambda data, start, end: self.header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self.header(1, data[start:end]),
            "on_header_end": self.header_end,
            "on_headers_finished": self.open,
            "on_part_data": lambda data, start, end: self.data(data[start:end]),
            "on_part_end": self.end,
            "on_end": self.finish,
        }

    def begin(self) -> None:
        self._disposition, self._value = {}, bytearray()

    def header(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            _, self._disposition = parse_options_header(value)
        self._header = [b"", b""]

    def open(self) -> None:
        name = self._disposition.get(b"filename")
        if name is None:
            return
        if len(self.form.files) >= MOST_FILES:
            raise ValueError(f"more than {MOST_FILES} files come together; put them into a zip")
        said = Path(name.decode(errors="replace").replace("\\", "/")).name[:200] or "picture"
        ending = ENDING.search(said)
        path = self.folder / f"{len(self.form.files):05}{ending[0].lower() if ending else ''}"
        self._file = path.open("xb")
        self.form.files.append((said, path))

    def data(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
            return
        self._value += data
        if len(self._value) > FIELD_BYTES:
            raise ValueError(f"a field of the form is longer than {FIELD_BYTES} bytes; send a file as a file")

    def end(self) -> None:
        if self._file is not None:
            self.close()
            return
        name = self._disposition.get(b"name", b"").decode(errors="replace")
        self.form.fields[name] = self._value.decode(errors="replace")

    def finish(self) -> None:
        self.ended = True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return looks_like_dicom(file.read(1024))
