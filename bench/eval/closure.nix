# A graph walked from one node to all others, each found along two ways.
let
  closure = builtins.genericClosure {
    startSet = [ { key = 0; } ];
    operator = node: if node.key > 60000 then [ ] else [ { key = node.key + 1; } { key = node.key + 2; } ];
  };
in
builtins.length closure
