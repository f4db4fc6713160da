"""Looking after what has been kept: `verify`, `mend`, `garbage`, `retention`, `backup`.

sqlalchemy and the store only. In reading order: `findings`, then what `verify` looks at (`rows`,
`files`, `pictures`), then `mend`, then `garbage`, which removes what nothing refers to.
"""
