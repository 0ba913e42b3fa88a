"""Transcripts as chat messages and as the text that the models of this project are prompted with.

`prompt` is the chat template of the shipped tokenizer, applied: `/v1/chat/completions` with
`messages(...)` and `/v1/completions` with `prompt(...)` see the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..protocol import Step
from .action import Style, write
from .task import Task

END = "<|end|>"
ROLES = ("system", "user", "assistant", "tool")

SYSTEM: dict[Style, str] = {
    "thought": "Solve the task with tools. Write a thought, then an action.",
    "act": "Solve the task with tools. Write an action.",
}

Message = dict[str, str]


def messages(task: Task, steps: Sequence[Step], style: Style) -> list[Message]:
    """Return the chat so far: system, user, then assistant and tool in turns."""
    chat = [
        {"role": "system", "content": SYSTEM[style]},
        {"role": "user", "content": task.goal},
    ]
    for step in steps:
        chat.append({"role": "assistant", "content": write(step.thought, step.action, style)})
        chat.append({"role": "tool", "content": f"Observation: {step.observation}"})
    return chat


def text(chat: Iterable[Mapping[str, str]]) -> str:
    """Write chat messages as text with role markers."""
    return "".join(f"<|{message['role']}|>{message['content']}{END}" for message in chat)


def prompt(task: Task, steps: Sequence[Step], style: Style) -> str:
    """Return the text after which the model writes the next assistant turn."""
    return text(messages(task, steps, style)) + "<|assistant|>"


def transcript(task: Task, steps: Sequence[Step], style: Style) -> str:
    """Return a whole transcript, up to the final action."""
    return text(messages(task, steps, style)[:-1])
