let x = [ x ]; in builtins.attrNames x
