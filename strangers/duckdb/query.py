"""One SQL query over a Parquet file, answered by DuckDB: each row a line of JSON.

    query.py FILE SQL

The file is the table `events`. Nothing of Trailseal is used here.
"""

import json
import sys

import duckdb

file, query = sys.argv[1:]
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute("CREATE VIEW events AS SELECT * FROM read_parquet('%s')" % file.replace("'", "''"))
for row in connection.execute(query).fetchall():
    print(json.dumps(row))
