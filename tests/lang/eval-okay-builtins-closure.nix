[
  (builtins.genericClosure { startSet = [ ]; operator = null; })
  (builtins.genericClosure { startSet = [ { key = 1; } ]; operator = x: [ { key = 2; } { key = 3; } { key = 1; } ]; })
  (builtins.genericClosure { startSet = [ { key = [ 1 2 ]; } { key = [ 1 3 ]; } { key = [ 1 2 ]; } ]; operator = x: [ ]; })
  (builtins.genericClosure { startSet = [ { key = 1.0; } { key = 1; } { key = 2; } ]; operator = x: [ ]; })
  (builtins.genericClosure { startSet = [ { key = { }; } ]; operator = x: [ ]; })
]
