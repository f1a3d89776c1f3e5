"""Empty stand-ins for the CUDA libraries that torch's wheel names but never calls on a CPU.

The wheel cannot be imported without ten libraries, 3.5 GB of them. The loader asks only that they
exist and hold the names it resolves at once, so each becomes a few kilobytes of functions that stop
the program. Start it through setup.sh; needs `cc`, `ldd` and `nm`.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Every other library versions its symbols by its own name. Symbols without a version go into each library.
VERSIONS = {"libnvshmem_host.so.3": "NVSHMEM"}
MINE = re.compile(r"(cublas|cudnn|cusparse|cufft|curand|cusolver|cuFile|nccl|nvshmem)")


def output(*command):
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


def missing(libraries):
    return sorted({line.split()[0] for path in libraries for line in output("ldd", path).splitlines() if "not found" in line})


def wanted(libraries):
    """(symbol, version) of every function that the stand-ins must define; "" is no version."""
    for line in output("nm", "-D", "--undefined-only", *libraries).splitlines():
        symbol, _, version = line.removeprefix(" " * 17).removeprefix("U ").partition("@")
        if MINE.match(symbol):
            yield symbol, version


def build(soname, symbols, version, folder):
    with tempfile.TemporaryDirectory() as scratch:
        source, script = Path(scratch, "stub.c"), Path(scratch, "stub.map")
        source.write_text("".join(f"void {symbol}(void) {{ __builtin_trap(); }}\n" for symbol in symbols))
        script.write_text(f"{version} {{ *; }};\n")
        output("cc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{soname},--version-script,{script}", "-o", folder / soname, source)


def main():
    folder = Path(sys.argv[1])
    libraries = sorted(folder.glob("libtorch*.so"))
    symbols = sorted(set(wanted(libraries)))
    for soname in missing(libraries):
        version = VERSIONS.get(soname, soname)
        build(soname, [symbol for symbol, needed in symbols if needed in ("", version)], version, folder)


main()
