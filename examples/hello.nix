# GNU hello from Debian's source archive, compiled in the sandbox with Debian's toolchain.
#
#   nopal build -f examples/hello.nix
#   nopal run -f examples/hello.nix
{
  debian ? import ./debian.nix { },
}:

let
  toolchain = debian.tree [
    "bash"
    "binutils"
    "coreutils"
    "dash"
    "diffutils"
    "findutils"
    "gawk"
    "gcc"
    "grep"
    "gzip"
    "libc6-dev"
    "make"
    "sed"
    "tar"
  ];
in
derivation {
  name = "hello-2.10";
  system = "x86_64-linux";

  # the sandbox shows this tree as /usr, /bin, /lib, /lib64, /sbin and /etc
  __fhs = toolchain;
  builder = "/bin/sh";
  args = [
    "-euc"
    ''
      export PATH=/usr/bin:/bin LC_ALL=C TZ=UTC
      tar -xzf "$src" --no-same-owner
      cd hello-2.10
      ./configure --prefix="$out" --disable-dependency-tracking --disable-nls CFLAGS=-O2
      make -j"''${NIX_BUILD_CORES:-1}"
      # the program's own tests decide whether there is a result
      make check
      make install
      rm -f "$out/share/info/dir"
      strip --strip-unneeded "$out/bin/hello"
    ''
  ];
  src = debian.source "hello";
}
