//! The system-call filter of builders.
//!
//! | calls | answer | why |
//! |---|---|---|
//! | `chmod`, `fchmod`, `fchmodat`, `fchmodat2` with a set-user-id or set-group-id bit | `EPERM` | such files are not allowed in a store |
//! | all that touch extended attributes | `ENOTSUP` | a NAR cannot carry them, and not every file system has them |
//! | `io_uring_*` | `ENOSYS` | its operations pass this filter by |
//! | `add_key`, `request_key`, `keyctl` | `ENOSYS` | keyrings are shared with the user's other processes |
//! | `userfaultfd` | `EPERM` | only exploits of kernel races need it |
//! | `ioctl` with `TIOCSTI` or `TIOCLINUX` | `EPERM` | types into a terminal |
//!
//! Allowed, as in Nix: `ptrace` (it reaches no further than the pid namespace), new user namespaces with mounts in
//! them (what the sandbox made read-only stays so). Every architecture whose calls the kernel would accept has its own
//! table; calls of any other end the process.
//!
//! The program is assembled by hand because one filter must hold the tables of several architectures, the x32 calls
//! among those of x86-64.

use rustix::io::Errno;

/// Set-user-id and set-group-id.
const PRIVILEGE_BITS: u32 = 0o6000;
/// `ioctl`: put a byte into a terminal's input.
const TIOCSTI: u32 = 0x5412;
/// `ioctl`: among others, paste the selection of a virtual console.
const TIOCLINUX: u32 = 0x541c;
/// Marks the calls of the x32 ABI.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

/// Offsets within `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

/// A call number and what to do about it.
#[derive(Clone, Copy)]
enum Rule {
    /// Always fail.
    Deny(u32, i32),
    /// Fail with `EPERM` if the argument of this index has one of [`PRIVILEGE_BITS`].
    Mode(u32, u32),
    /// Fail with `EPERM` for ioctls that type into terminals.
    Ioctl(u32),
}

/// The calls of one architecture.
struct Table {
    /// `AUDIT_ARCH_*`.
    architecture: u32,
    rules: &'static [Rule],
}

use Rule::{Deny, Ioctl, Mode};

#[cfg(target_arch = "x86_64")]
const TABLES: &[Table] = &[
    // x86-64, and x32 after its bit is taken off
    Table {
        architecture: 0xc000_003e,
        rules: &[
            Ioctl(16),
            Ioctl(514),
            Mode(90, 1),
            Mode(91, 1),
            Mode(268, 2),
            Mode(452, 2),
            Deny(188, libc::ENOTSUP),
            Deny(189, libc::ENOTSUP),
            Deny(190, libc::ENOTSUP),
            Deny(191, libc::ENOTSUP),
            Deny(192, libc::ENOTSUP),
            Deny(193, libc::ENOTSUP),
            Deny(194, libc::ENOTSUP),
            Deny(195, libc::ENOTSUP),
            Deny(196, libc::ENOTSUP),
            Deny(197, libc::ENOTSUP),
            Deny(198, libc::ENOTSUP),
            Deny(199, libc::ENOTSUP),
            Deny(463, libc::ENOTSUP),
            Deny(464, libc::ENOTSUP),
            Deny(465, libc::ENOTSUP),
            Deny(466, libc::ENOTSUP),
            Deny(248, libc::ENOSYS),
            Deny(249, libc::ENOSYS),
            Deny(250, libc::ENOSYS),
            Deny(323, libc::EPERM),
            Deny(425, libc::ENOSYS),
            Deny(426, libc::ENOSYS),
            Deny(427, libc::ENOSYS),
        ],
    },
    // i386
    Table {
        architecture: 0x4000_0003,
        rules: &[
            Ioctl(54),
            Mode(15, 1),
            Mode(94, 1),
            Mode(306, 2),
            Mode(452, 2),
            Deny(226, libc::ENOTSUP),
            Deny(227, libc::ENOTSUP),
            Deny(228, libc::ENOTSUP),
            Deny(229, libc::ENOTSUP),
            Deny(230, libc::ENOTSUP),
            Deny(231, libc::ENOTSUP),
            Deny(232, libc::ENOTSUP),
            Deny(233, libc::ENOTSUP),
            Deny(234, libc::ENOTSUP),
            Deny(235, libc::ENOTSUP),
            Deny(236, libc::ENOTSUP),
            Deny(237, libc::ENOTSUP),
            Deny(463, libc::ENOTSUP),
            Deny(464, libc::ENOTSUP),
            Deny(465, libc::ENOTSUP),
            Deny(466, libc::ENOTSUP),
            Deny(286, libc::ENOSYS),
            Deny(287, libc::ENOSYS),
            Deny(288, libc::ENOSYS),
            Deny(374, libc::EPERM),
            Deny(425, libc::ENOSYS),
            Deny(426, libc::ENOSYS),
            Deny(427, libc::ENOSYS),
        ],
    },
];

#[cfg(target_arch = "aarch64")]
const TABLES: &[Table] = &[
    // aarch64
    Table {
        architecture: 0xc000_00b7,
        rules: &[
            Ioctl(29),
            Mode(52, 1),
            Mode(53, 2),
            Mode(452, 2),
            Deny(5, libc::ENOTSUP),
            Deny(6, libc::ENOTSUP),
            Deny(7, libc::ENOTSUP),
            Deny(8, libc::ENOTSUP),
            Deny(9, libc::ENOTSUP),
            Deny(10, libc::ENOTSUP),
            Deny(11, libc::ENOTSUP),
            Deny(12, libc::ENOTSUP),
            Deny(13, libc::ENOTSUP),
            Deny(14, libc::ENOTSUP),
            Deny(15, libc::ENOTSUP),
            Deny(16, libc::ENOTSUP),
            Deny(463, libc::ENOTSUP),
            Deny(464, libc::ENOTSUP),
            Deny(465, libc::ENOTSUP),
            Deny(466, libc::ENOTSUP),
            Deny(217, libc::ENOSYS),
            Deny(218, libc::ENOSYS),
            Deny(219, libc::ENOSYS),
            Deny(282, libc::EPERM),
            Deny(425, libc::ENOSYS),
            Deny(426, libc::ENOSYS),
            Deny(427, libc::ENOSYS),
        ],
    },
    // 32-bit Arm
    Table {
        architecture: 0x4000_0028,
        rules: &[
            Ioctl(54),
            Mode(15, 1),
            Mode(94, 1),
            Mode(333, 2),
            Mode(452, 2),
            Deny(226, libc::ENOTSUP),
            Deny(227, libc::ENOTSUP),
            Deny(228, libc::ENOTSUP),
            Deny(229, libc::ENOTSUP),
            Deny(230, libc::ENOTSUP),
            Deny(231, libc::ENOTSUP),
            Deny(232, libc::ENOTSUP),
            Deny(233, libc::ENOTSUP),
            Deny(234, libc::ENOTSUP),
            Deny(235, libc::ENOTSUP),
            Deny(236, libc::ENOTSUP),
            Deny(237, libc::ENOTSUP),
            Deny(463, libc::ENOTSUP),
            Deny(464, libc::ENOTSUP),
            Deny(465, libc::ENOTSUP),
            Deny(466, libc::ENOTSUP),
            Deny(309, libc::ENOSYS),
            Deny(310, libc::ENOSYS),
            Deny(311, libc::ENOSYS),
            Deny(388, libc::EPERM),
            Deny(425, libc::ENOSYS),
            Deny(426, libc::ENOSYS),
            Deny(427, libc::ENOSYS),
        ],
    },
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the sandbox needs a table of system calls for this architecture");

/// An assembled filter.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    program: Vec<libc::sock_filter>,
}

impl Filter {
    /// The filter of builders.
    pub(crate) fn for_builders() -> Self {
        let mut program = vec![load(OFFSET_ARCHITECTURE)];
        for table in TABLES {
            let body = table_body(table.rules);
            // the offset of a conditional jump has 8 bits, so the way around a table is an unconditional one
            program.push(jump(libc::BPF_JEQ, table.architecture, 1, 0));
            program.push(statement(libc::BPF_JMP | libc::BPF_JA, body.len() as u32));
            program.extend(body);
        }
        program.push(answer(libc::SECCOMP_RET_KILL_PROCESS));
        Self { program }
    }

    /// Puts the filter on the calling thread and what it becomes. Does not allocate.
    pub(super) fn install(&self) -> Result<(), Errno> {
        let program =
            libc::sock_fprog { len: self.program.len() as libc::c_ushort, filter: self.program.as_ptr().cast_mut() };
        // SAFETY: `program` describes `self.program`, which outlives the call; the kernel only reads it.
        let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
        if result == 0 {
            Ok(())
        } else {
            // SAFETY: the location is valid for the life of the thread.
            Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
        }
    }
}

/// Checks the rules of one architecture in turn; falls to an "allow" at the end.
fn table_body(rules: &[Rule]) -> Vec<libc::sock_filter> {
    let allow = answer(libc::SECCOMP_RET_ALLOW);
    let mut body = vec![load(OFFSET_NUMBER)];
    #[cfg(target_arch = "x86_64")]
    body.push(statement(libc::BPF_ALU | libc::BPF_AND, !X32_BIT));
    for rule in rules {
        match *rule {
            Deny(number, errno) => body.extend([jump(libc::BPF_JEQ, number, 0, 1), deny(errno)]),
            Mode(number, argument) => body.extend([
                jump(libc::BPF_JEQ, number, 0, 4),
                load(OFFSET_ARGUMENTS + 8 * argument),
                jump(libc::BPF_JSET, PRIVILEGE_BITS, 0, 1),
                deny(libc::EPERM),
                allow,
            ]),
            Ioctl(number) => body.extend([
                jump(libc::BPF_JEQ, number, 0, 5),
                load(OFFSET_ARGUMENTS + 8),
                jump(libc::BPF_JEQ, TIOCSTI, 1, 0),
                jump(libc::BPF_JEQ, TIOCLINUX, 0, 1),
                deny(libc::EPERM),
                allow,
            ]),
        }
    }
    body.push(allow);
    body
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(test: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_K | test) as u16, jt, jf, k }
}

fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn answer(action: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

fn deny(errno: i32) -> libc::sock_filter {
    answer(libc::SECCOMP_RET_ERRNO | (errno.unsigned_abs() & libc::SECCOMP_RET_DATA))
}
