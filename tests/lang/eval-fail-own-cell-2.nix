let x = [ x ]; in throw x
