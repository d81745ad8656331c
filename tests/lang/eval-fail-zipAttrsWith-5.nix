builtins.zipAttrsWith (n: vs: n) [ { a = 1; } 1 ]
