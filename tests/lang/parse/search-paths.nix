[ <nixpkgs> <nixpkgs/lib/a-b_c.nix> <a+b/.c> (1<2) (1 <2) (x: x <y> 1) ]
