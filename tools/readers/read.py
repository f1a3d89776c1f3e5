"""Reads a store as a notebook does, while something else writes to it: `read.py sqlite3|duckdb STORE`.

Counts measurements twice in one transaction and once after it, and prints the three numbers. Makes the file
`begun` after the first, and waits for the file `go` before the second.
"""

import pathlib
import sys
import time


def with_sqlite3(store):
    import sqlite3

    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True, isolation_level=None)
    return connection.execute, "measurement"


def with_duckdb(store):
    import duckdb
    import duckdb_extension_sqlite_scanner as extension

    folder = pathlib.Path(extension.__file__).parent
    (file,) = folder.glob("extensions/*/sqlite_scanner.duckdb_extension")
    connection = duckdb.connect()
    connection.execute(f"load '{file}'")
    connection.execute(f"attach '{store}' as store (type sqlite, read_only)")
    return connection.execute, "store.measurement"


def main(reader, store):
    execute, table = {"sqlite3": with_sqlite3, "duckdb": with_duckdb}[reader](store)

    def count():
        print(execute(f"select count(step) from {table}").fetchone()[0], flush=True)

    execute("begin")
    count()
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    count()
    execute("commit")
    count()


main(*sys.argv[1:])
