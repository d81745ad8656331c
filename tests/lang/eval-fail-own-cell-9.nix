let x = [ x ]; in builtins.sort builtins.lessThan [ 1 x ]
