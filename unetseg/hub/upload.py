"""To the hub: a checkpoint, or any small set of files, as one commit of a repo."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from ..files import BUILT, COMPANIONS, CONFIG, ONNX, PAGE, README, WEIGHTS, read_json
from . import checkpoint, model_card
from .download import git_hash, parse, told
from .seal import MARKDOWN, is_edited


@dataclass(frozen=True)
class Pushed:
    """What became of a push. url: of the repo, or of the pull request. changed: whether there was anything new."""

    url: str
    commit: str
    changed: bool

    def __str__(self) -> str:
        return f"{self.url} at {self.commit[:7]}" + ("" if self.changed else ": it was there already, no commit made")


class Writing(TypedDict, total=False):
    """How a repo of the hub is written to; by keyword in `commit`, `push` and `UNet.push_to_hub`.

    private: a repo that is made here; the owner's default unless given.
    branch: made if it is not there; the main one unless given. create_pr: propose the commit instead of making it.
    token: that of the environment or of the hub's own login unless given.
    overwrite_card: replace a README that somebody edited on the hub.
    """

    private: bool | None
    branch: str | None
    create_pr: bool
    token: str | bool | None
    overwrite_card: bool


def push(
    folder: Path,
    repo: str,
    *,
    commit_message: str | None = None,
    tags: Sequence[str] = (),
    onnx: bytes | None = None,
    **writing: Unpack[Writing],
) -> Pushed:
    """Put a checkpoint up as a model repo, in one commit; the same again makes none.

    repo: `owner/name`, made if it is not there. tags: of the card, beside its own. writing: see `Writing`.
    onnx: what an export makes of it, to go up as `model.onnx`; without it one that is there is removed.
    Raises ValueError or OSError of one sentence; no commit is made then.
    """
    config, _ = checkpoint.load(folder)  # only what can be loaded goes up
    files: dict[str, bytes] = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
    files |= checkpoint.companions(folder)
    text = _decoded(files[README], folder / README) if README in files else model_card.plain(config)
    model_card.check(text, str(folder / README))
    files[README] = model_card.for_repo(text, repo, tags).encode()
    if onnx is not None:
        files[ONNX] = onnx
    return commit(
        repo,
        files,
        kind="model",
        message=commit_message or f"Upload {folder.resolve().name} with unetseg",
        **writing,
    )


def commit(
    repo: str,
    files: Mapping[str, bytes],
    *,
    kind: Literal["model", "space"],
    message: str,
    sdk: Literal["gradio", "static"] | None = None,
    private: bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    token: str | bool | None = None,
    overwrite_card: bool = False,
) -> Pushed:
    """Put files into a repo of a kind, `model` or `space`, as one commit; the options are those of `Writing`.

    sdk: by what a space runs. What an older checkpoint, package or page left there that is not among the files is
    deleted from it.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    check_repo(repo, token)
    api = HfApi(token=token)
    with told(repo, branch):
        fresh = not api.repo_exists(repo, repo_type=kind)  # the hub writes a README into a new Space
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True, space_sdk=sdk)
        if branch is not None:
            api.create_branch(repo, repo_type=kind, branch=branch, exist_ok=True)
        look_up = api.space_info if kind == "space" else api.model_info
        info = look_up(repo, revision=branch, files_metadata=True)
        there = {sibling.rfilename: sibling.blob_id for sibling in info.siblings or ()}
        if README in there and not (fresh or overwrite_card) and there[README] != git_hash(files[README]):
            with tempfile.TemporaryDirectory() as temporary:
                path = api.hf_hub_download(repo, README, repo_type=kind, revision=info.sha, local_dir=temporary)
                if is_edited(Path(path).read_text(encoding="utf-8", errors="replace"), MARKDOWN):
                    raise ValueError(
                        f"the {README} of {repo} was edited there and would be lost; take its changes over into "
                        "the one here and replace it with --overwrite-card (overwrite_card=True), or push to another "
                        "branch"
                    )
        ours = {*COMPANIONS, ONNX}
        if kind == "space":
            ours |= {"app.py", "requirements.txt", *PAGE}
            if BUILT in there:
                with tempfile.TemporaryDirectory() as temporary:
                    path = api.hf_hub_download(repo, BUILT, repo_type=kind, revision=info.sha, local_dir=temporary)
                    ours |= dict(read_json(Path(path))).keys()
        stale = [n for n in there if n not in files and (n in ours or n.startswith("unetseg/"))]
        done = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in files.items()),
                *(CommitOperationDelete(path_in_repo=name) for name in stale),
            ],
            commit_message=message,
            repo_type=kind,
            revision=branch,
            parent_commit=info.sha,
            create_pr=create_pr,
        )
    url = done.pr_url or str(done.repo_url)
    return Pushed(url, done.oid, changed=done.oid != info.sha)


def check_repo(repo: str, token: str | bool | None = None) -> None:
    """Raise ValueError for what is no name of a repo, PermissionError where no token is there to write with."""
    from huggingface_hub import get_token

    if (parse(repo) or ("", ""))[0] != repo:
        raise ValueError(f"{repo!r} is no name of a repo on the hub; expected owner/name")
    if not (token or get_token()) or token is False:
        raise PermissionError(f"writing to {repo} needs a token; log in with `hf auth login`, or set HF_TOKEN")


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text; save it as UTF-8") from None
