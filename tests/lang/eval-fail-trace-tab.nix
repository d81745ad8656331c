# Tabs become spaces, escapes and carriage returns are cut, counting the column from the begin of the line's prefix.
builtins.trace "a\tb\r\n\tc |" (throw "x")
