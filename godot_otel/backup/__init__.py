"""The store in one file, and a store made of such a file.

``dump`` copies what one snapshot sees, while collectors go on; ``restore`` fills an
empty store, all of it or nothing; ``archive`` is the file between them. It holds data
alone: the schema is that of our migrations, and so a file made on one major version of
Postgres is restored on any other.
"""
