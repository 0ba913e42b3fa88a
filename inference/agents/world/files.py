"""Tools on files: list, read, search, write."""

from __future__ import annotations

from dataclasses import replace

from .state import State
from .tool import Tool


def list_files(state: State, folder: str) -> tuple[State, str]:
    """List the paths in a folder."""
    found = sorted(path for path in state.files if path.startswith(folder.rstrip("/") + "/"))
    return state, ", ".join(found) or f"Error: no folder {folder}"


def read_file(state: State, path: str) -> tuple[State, str]:
    """Return a file's text."""
    return state, state.files.get(path, f"Error: no file {path}")


def search_files(state: State, text: str) -> tuple[State, str]:
    """List the paths of the files that contain a text."""
    found = sorted(path for path, content in state.files.items() if text in content)
    return state, ", ".join(found) or f"Error: no file contains {text}"


def write_file(state: State, path: str, text: str) -> tuple[State, str]:
    """Create a file, or replace its text."""
    return replace(state, files={**state.files, path: text}), f"Wrote {path}"


TOOLS = (
    Tool("list_files", "pure", {"folder": str}, list_files),
    Tool("read_file", "pure", {"path": str}, read_file),
    Tool("search_files", "pure", {"text": str}, search_files),
    Tool("write_file", "effectful", {"path": str, "text": str}, write_file),
)
