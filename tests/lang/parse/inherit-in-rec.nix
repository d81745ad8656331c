# since 2.34
x: rec { inherit x; inherit (y) z; y = x; a = z; }
