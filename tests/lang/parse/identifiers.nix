a: a': a-b: _: _a: A9: or': if': [ a a' a-b _ _a A9 or' if' ]
