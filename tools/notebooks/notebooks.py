"""Executes and checks notebooks.

execute: every cell from the top, in the notebook's own folder, with a fresh kernel. Prints a line a notebook.
    With --out those that skipped nothing are kept there with what came out, tidied; else nothing is written.
check: stored outputs must be those of the code beside them, tidy, and must not say which machine made them.

Exit code 1, and a line that names notebook and cell, where a cell fails or the check finds something.
"""

import argparse
import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

# For a cell, and for a kernel to start on a machine that is busy with other tests.
TIMEOUT_S = 300
VENV = Path(sys.prefix)
TEXT = "text/plain"
PNG = "image/png"
# What differs from one machine or moment to the next: absolute paths and addresses in memory.
PASSING = re.compile(r"(?<![\w./:*<>~-])/[a-z]\w*/\w|\b0x[0-9a-f]{6,}")
# What terminals are coloured with.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def main():
    options = parsed_options()
    troubles = [trouble for path in options.notebook for trouble in options.act(path, options)]
    for trouble in troubles:
        print(trouble, file=sys.stderr)
    return 1 if troubles else 0


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, act in [("execute", execute), ("check", check)]:
        command = commands.add_parser(name)
        command.set_defaults(act=act)
        command.add_argument("notebook", nargs="+", type=Path)
        if act is execute:
            command.add_argument("--out", type=Path, help="folder to keep the executed notebooks in")
    return parser.parse_args()


def execute(path, options):
    """What went wrong."""
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.update(execution_count=None, outputs=[])
    try:
        with tempfile.TemporaryDirectory() as profile:
            client_of(notebook, path.parent, profile).execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return [f"{path.name}, cell {cell_that_failed(notebook)}: {account_of(error, notebook)}"]
    tidy(notebook)
    print(f"{path.name}: {len(code_cells(notebook))} cells, {n_figures(notebook)} figures")
    if absent := skipped(notebook):
        print(*absent, f"{path.name} is not kept: what it skipped would be lost", sep="\n")
        return []
    found = faults(path, notebook)
    if options.out and not found:
        options.out.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, options.out / path.name)
    return found


def client_of(notebook, folder, profile):
    # Sockets in a folder, which has to be told to both ends, not on ports; no profile or style of the user's, which
    # would change what comes out.
    os.environ |= {"JUPYTER_RUNTIME_DIR": profile, "IPYTHONDIR": profile, "MPLCONFIGDIR": str(VENV / "matplotlib")}
    return NotebookClient(
        notebook,
        timeout=TIMEOUT_S,
        startup_timeout=TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        config=Config({"KernelManager": {"transport": "ipc", "connection_file": f"{profile}/kernel.json"}}),
    )


def check(path, _options):
    """What is wrong with the notebook as it is stored."""
    return faults(path, nbformat.read(path, as_version=4))


def tidy(notebook):
    """Leaves what a reader sees and what changes only when the code or the data do."""
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "isoflop": {"sources": digest(notebook)},
    })
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    for output in outputs(notebook):
        if "data" in output:
            # Of a table the text, of a figure the picture: the rest repeats them at length.
            kept = PNG if PNG in output.data else TEXT
            output.data = nbformat.from_dict({kept: output.data[kept]})
            output.metadata = nbformat.from_dict({})


def faults(path, notebook):
    found = []
    if notebook.metadata.get("isoflop", {}).get("sources") != digest(notebook):
        found.append("its outputs are not of its code: `make notebooks` executes it again")
    for number, cell in enumerate(code_cells(notebook), 1):
        if cell.execution_count != number:
            found.append(f"cell {number} was not executed in its turn: `make notebooks`")
        found += [f"cell {number} {fault}" for output in cell.outputs for fault in output_faults(output)]
    if n_figures(notebook) == 0:
        found.append("it shows no figure")
    return [f"{path.name}: {fault}" for fault in found]


def output_faults(output):
    if output.output_type == "error":
        yield f"failed: {output.ename}: {output.evalue}"
    if output.get("name") == "stderr":
        yield f"complains: {output.text.strip()}"
    if not {TEXT, PNG}.issuperset(output.get("data", {})):
        yield "has outputs that are neither text nor picture: `make notebooks`"
    if where := PASSING.search(output.get("text", "") + output.get("data", {}).get(TEXT, "")):
        yield f"prints `{where.group()}`, which another machine or moment would not: print names instead"


def digest(notebook):
    """Of the code: other outputs are to be expected when it changes."""
    return hashlib.sha256("\0".join(cell.source for cell in code_cells(notebook)).encode()).hexdigest()[:16]


def cell_that_failed(notebook):
    """Cells are numbered from 1, those of text left out, as Jupyter does. Counts are given out in order."""
    return sum(cell.execution_count is not None for cell in code_cells(notebook))


def account_of(error, notebook):
    """What was raised, then where: a notebook keeps its tracebacks coloured."""
    raised = [output for output in outputs(notebook) if output.output_type == "error"]
    traceback = [line for output in raised for line in output.traceback]
    summary = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
    return COLOUR.sub("", "\n".join([summary, *traceback]))


def skipped(notebook):
    """Lines in which a notebook says what it left out."""
    texts = [output.text for output in outputs(notebook) if output.output_type == "stream"]
    return [line for text in texts for line in text.splitlines() if line.startswith("skipped: ")]


def n_figures(notebook):
    return sum(PNG in output.get("data", {}) for output in outputs(notebook))


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


if __name__ == "__main__":
    sys.exit(main())
