"""Checkpoints from repos of the Hugging Face hub, through its own client.

A repo is looked up once, by name; everything is then got by commit hash, so what belongs together comes together.
Repos are hostile until read: only named files are got, the config is checked before the weights are, and their size
against it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ..config import SegmentationConfig
from ..files import COMPANIONS, CONFIG, GATE, GATE_BYTES, README, WEIGHTS, whole
from . import model_card

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

log = logging.getLogger(__name__)

LOOK_UP_SECONDS = 2.0
HEADER_BYTES = 1_000_000
"""What names and shapes may take in a file of weights, and a config at the most."""
PAPER_BYTES = 20_000_000
"""A file of scores, a README or one of its pictures at the most."""
_NAME = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>.+))?", re.ASCII)
_REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Access(TypedDict, total=False):
    """How a repo of the hub is got; by keyword in `fetch`, `hub.find` and every `from_pretrained`.

    token: for private repos; that of the environment or of the hub's own login unless given.
    cache_dir: the hub's own cache unless given. local_files_only: never ask the hub, open what is in the cache.
    force_download: get even what is there.
    """

    token: str | bool | None
    cache_dir: str | Path | None
    local_files_only: bool
    force_download: bool


@dataclass(frozen=True)
class Source:
    """Where a checkpoint was found. commit: of a repo on the hub. notice: what its user should know, a sentence."""

    name: str
    folder: Path
    commit: str | None = None
    notice: str | None = None

    def __str__(self) -> str:
        return f"{self.name} at {self.commit[:7]}" if self.commit else str(self.folder)


def parse(name: str, revision: str | None = None) -> tuple[str, str] | None:
    """`owner/name` and the revision of a name on the hub, `main` unless given; None for what is no such name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    if match["revision"] and revision not in (None, match["revision"]):
        raise ValueError(f"{name!r} and revision {revision!r} name two revisions; leave one of them out")
    revision = match["revision"] or revision or "main"
    if not _REVISION.fullmatch(revision):
        raise ValueError(f"{revision!r} is no revision; name a branch, a tag or a commit hash")
    return match["repo"], revision


def fetch(
    repo: str,
    revision: str,
    *,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    companions: bool = False,
) -> Source:
    """The checkpoint of a repo, in the hub's own cache; the options are those of `Access`, and of `hub.find`.

    A commit that is cached opens without any look-up. A branch or tag is looked up for at most two seconds, then the
    cache serves, with a notice.
    """
    from huggingface_hub import is_offline_mode

    name = repo if revision == "main" else f"{repo}@{revision}"
    cached = _cached(repo, revision, cache_dir)
    offline = local_files_only or is_offline_mode()
    if cached and not force_download and (offline or (_COMMIT.fullmatch(revision) and not companions)):
        return Source(name, _intact(cached), cached.name)
    lacking = f"{name} is to be got anew" if cached else f"{name} is not in the cache"
    if offline:
        raise FileNotFoundError(
            f"{lacking} and the hub may not be asked (local_files_only or HF_HUB_OFFLINE); "
            "get it once with a network, or copy its folder here"
        )
    try:
        info = _look_up(repo, revision, token)
    except ConnectionError as error:
        if not cached or force_download:
            raise ConnectionError(
                f"{lacking} and the hub can't be reached ({error}); try again with a network, or copy its folder here"
            ) from None
        notice = f"the hub can't be reached ({error}): {name} is the cached commit {cached.name[:7]}"
        log.warning("note: %s", notice)
        return Source(name, _intact(cached), cached.name, notice)
    folder = _download(repo, info, token, cache_dir, force_download=force_download, companions=companions)
    if revision != info.sha:
        _remember(folder, revision, info.sha or "")
    return Source(name, _intact(folder), info.sha)


def with_papers(source: Source, token: str | bool | None = None) -> Source:
    """A checkpoint of the hub with its README, scores and pictures: what the cache lacks of them is got."""
    repo, _ = parse(source.name) or (source.name, "")
    cache_dir = source.folder.parents[2]  # of models--owner--name/snapshots/commit
    return fetch(repo, source.commit or "", token=token, cache_dir=cache_dir, companions=True)


def _look_up(repo: str, revision: str, token: str | bool | None) -> ModelInfo:
    """Commit and files of a revision. ConnectionError where the hub does not say within two seconds."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    result: list[ModelInfo] = []
    problem: list[Exception] = []

    def ask() -> None:
        try:
            api = HfApi(token=token)
            result.append(api.model_info(repo, revision=revision, files_metadata=True, timeout=LOOK_UP_SECONDS))
        except Exception as error:  # handed over to the one who asked
            problem.append(error)

    # in a thread: the client's own limit is for each part of the answer, and a slow name server knows none
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(LOOK_UP_SECONDS)
    if result and _COMMIT.fullmatch(result[0].sha or ""):
        return result[0]
    if result:
        raise ConnectionError("what answered is no hub, it named no commit")
    if not problem:
        raise ConnectionError(f"no answer within {LOOK_UP_SECONDS:g} seconds")
    error = problem[0]
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status >= 500 or status == 429:
            raise ConnectionError(f"it answered {status}")
        raise explained(error, repo, revision) from None
    if isinstance(error, (ValueError, LookupError, TypeError)):  # no JSON, or of something else
        raise ConnectionError("what answered is no hub")
    raise ConnectionError(_reason(error))


def _download(
    repo: str,
    info: ModelInfo,
    token: str | bool | None,
    cache_dir: str | Path | None,
    *,
    force_download: bool,
    companions: bool,
) -> Path:
    from huggingface_hub import hf_hub_download

    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or ()}

    def get(name: str, most: int) -> Path:
        if (sizes[name] or 0) > most:
            raise ValueError(f"{repo}: {name} has {sizes[name]:,} bytes, expected at most {most:,}")
        with told(repo, info.sha):
            path = hf_hub_download(
                repo,
                name,
                revision=info.sha,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                etag_timeout=LOOK_UP_SECONDS,
            )
        return Path(path)

    for name in (CONFIG, WEIGHTS):
        if name not in sizes:
            pickles = sorted(n for n in sizes if n.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")))
            hint = f"; {', '.join(pickles)} is a pickle, which is never opened" if pickles else ""
            raise ValueError(f"{repo} has no {name}, so it is no checkpoint of unetseg{hint}")
    folder = get(CONFIG, HEADER_BYTES).parent
    config = SegmentationConfig.from_file(_intact(folder, (CONFIG,)) / CONFIG)
    if GATE in sizes:  # before the weights: where they are, it is
        get(GATE, GATE_BYTES)
    # batch norms keep two numbers per channel and a count beside what is trained; never half as many again
    get(WEIGHTS, 6 * config.parameters + HEADER_BYTES)
    if companions:
        for name in COMPANIONS:
            if name in sizes and name != GATE:
                get(name, PAPER_BYTES)
        if README in sizes:
            for name in model_card.pictures((folder / README).read_text(encoding="utf-8", errors="replace")):
                if name in sizes:
                    get(name, PAPER_BYTES)
    return folder


def _cached(repo: str, revision: str, cache_dir: str | Path | None) -> Path | None:
    """The folder of a revision in the cache, if config and weights are there; its name is the commit."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    names = (CONFIG, WEIGHTS)
    try:
        paths = [try_to_load_from_cache(repo, name, cache_dir=cache_dir, revision=revision) for name in names]
    except HFValidationError:
        raise ValueError(f"{repo!r} is no name of a repo on the hub; expected owner/name") from None
    return Path(paths[0]).parent if all(isinstance(path, str) for path in paths) else None  # type: ignore[arg-type]


def _remember(folder: Path, revision: str, commit: str) -> None:
    """Note in the cache, as the hub's client does, which commit a branch or tag is: for days without a network."""
    reference = folder.parent.parent / "refs" / revision
    if reference.is_file() and reference.read_text(encoding="utf-8") == commit:
        return
    reference.parent.mkdir(parents=True, exist_ok=True)
    with whole(reference) as temporary:
        temporary.write_text(commit, encoding="utf-8")


def _intact(folder: Path, names: Sequence[str] = (CONFIG, WEIGHTS, *COMPANIONS)) -> Path:
    """A folder of the cache, each file of which has the content that the hub named; ValueError names one that has not.

    A cached file is a link to a blob that is called by its hash: SHA-256, or git's SHA-1 for small files.
    """
    for path in (folder / name for name in names if (folder / name).exists()):
        # the first link only: a blob may itself be a link into a store that several caches share
        name, data = path.readlink().name if path.is_symlink() else "", path.read_bytes()
        if re.fullmatch(r"[0-9a-f]{64}", name):
            found = hashlib.sha256(data).hexdigest()
        elif _COMMIT.fullmatch(name):
            found = git_hash(data)
        else:  # no links on this file system, so no name to compare with
            continue
        if found != name:
            raise ValueError(
                f"the cached file {path} is damaged: its content is not what the hub sent; "
                "get it again with force_download=True, or pull --force"
            )
    return folder


def git_hash(data: bytes) -> str:
    """The name that git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def told(repo: str, revision: str | None) -> Iterator[None]:
    """Turn whatever the hub's client raises into one sentence."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except HfHubHTTPError as error:
        raise explained(error, repo, revision) from None
    except LocalEntryNotFoundError as error:
        raise ConnectionError(f"{repo} could not be got whole ({_reason(error)}); try again") from None
    except json.JSONDecodeError:
        raise ConnectionError(f"what answered for {repo} is no hub; look at the network, or at HF_ENDPOINT") from None
    except Exception as error:
        # httpx or httpx2, whichever the client was built on; else the client's own words for what broke off
        own = ("Error while uploading", "Force download failed", "Consistency check failed")
        if not (type(error).__module__.startswith("httpx") or str(error).startswith(own)):
            raise
        raise ConnectionError(
            f"the connection to the hub broke off at {repo} ({_reason(error)}); try again, what is whole is kept"
        ) from None


def explained(error: Any, repo: str, revision: str | None) -> Exception:  # noqa: ANN401, an HfHubHTTPError
    """An answer of the hub as one sentence that says what to do; no token and no address is in it."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return ValueError(f"{repo} is gated: ask for access on its page, then log in with `hf auth login`")
    if isinstance(error, RepositoryNotFoundError):
        return FileNotFoundError(
            f"the hub has no repo {repo} that this login may see, and there is no such folder here; check the name, "
            "or log in with `hf auth login` or HF_TOKEN"
        )
    if isinstance(error, RevisionNotFoundError):
        return ValueError(f"{repo} has no revision {revision!r}; name a branch, a tag or a commit of it")
    if status in (401, 403):
        return PermissionError(
            f"the hub refuses this login for {repo}; log in with `hf auth login` or HF_TOKEN, and with a token that "
            "may write where something is to be pushed"
        )
    if status in (409, 412):
        return ValueError(
            f"{repo} was changed by someone else meanwhile; nothing was written, look at it and try again"
        )
    if status < 500:
        return ValueError(f"the hub refused this for {repo} ({status}: {error.server_message or 'no reason given'})")
    return ConnectionError(f"the hub has trouble with {repo} ({status}); nothing was changed here, try again later")


def _reason(error: BaseException) -> str:
    """The innermost cause of an error in a few words."""
    cause = error.__cause__ or error.__context__
    return _reason(cause) if cause is not None else f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
