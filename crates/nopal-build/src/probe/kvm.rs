//! Whether `/dev/kvm` really runs a virtual processor: some machines offer the device and fail at the first step.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

/// What `/dev/kvm` is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvmState {
    /// There is no `/dev/kvm`.
    Absent,
    /// It cannot be opened.
    NoAccess {
        /// What the kernel said.
        reason: String,
    },
    /// It opens, but a virtual machine does not come about or does not run.
    Broken {
        /// At which step.
        step: &'static str,
        /// What happened.
        reason: String,
    },
    /// A virtual processor ran an instruction.
    Works,
    /// It opens and makes machines; running one is tried on x86-64 only.
    Untried,
}

/// The ABI version of every KVM since Linux 2.6.22.
const KVM_API_VERSION: libc::c_int = 12;
const KVM_GET_API_VERSION: libc::c_ulong = 0xae00;
const KVM_CREATE_VM: libc::c_ulong = 0xae01;

/// Makes a virtual machine with one page of memory and lets its processor halt.
pub fn probe_kvm() -> KvmState {
    let device = match rustix::fs::openat(CWD, c"/dev/kvm", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Ok(device) => device,
        Err(rustix::io::Errno::NOENT) => return KvmState::Absent,
        Err(errno) => return KvmState::NoAccess { reason: io::Error::from(errno).to_string() },
    };
    match try_machine(&device) {
        Ok(state) => state,
        Err((step, error)) => KvmState::Broken { step, reason: error.to_string() },
    }
}

type Outcome<T> = Result<T, (&'static str, io::Error)>;

fn try_machine(device: &OwnedFd) -> Outcome<KvmState> {
    let version = call(device, KVM_GET_API_VERSION, 0, "ask for the version")?;
    if version != KVM_API_VERSION {
        return Err((
            "ask for the version",
            io::Error::other(format!("version {version} instead of {KVM_API_VERSION}")),
        ));
    }
    let machine = descriptor(call(device, KVM_CREATE_VM, 0, "make a machine")?);
    run_machine(&machine)
}

#[cfg(not(target_arch = "x86_64"))]
fn run_machine(_machine: &OwnedFd) -> Outcome<KvmState> {
    Ok(KvmState::Untried)
}

#[cfg(target_arch = "x86_64")]
fn run_machine(machine: &OwnedFd) -> Outcome<KvmState> {
    use x86::*;
    let memory = Mapping::anonymous(PAGE_BYTES).map_err(|error| ("get memory", error))?;
    // `hlt`
    memory.write(0, &[0xf4]);
    let region = Region {
        slot: 0,
        flags: 0,
        guest_address: 0x1000,
        size_bytes: PAGE_BYTES as u64,
        host_address: memory.address() as u64,
    };
    call(machine, KVM_SET_USER_MEMORY_REGION, (&raw const region).addr(), "give it memory")?;
    let processor = descriptor(call(machine, KVM_CREATE_VCPU, 0, "make a processor")?);
    // the three-call interface shares a page with the processor; its size is the device's to say, and one page holds
    // what is read here
    let shared = Mapping::of(&processor, PAGE_BYTES).map_err(|error| ("map the processor", error))?;
    let mut segments = [0u8; SREGS_BYTES];
    call(&processor, KVM_GET_SREGS, segments.as_mut_ptr().addr(), "read segments")?;
    // code segment: base 0, selector 0
    segments[..8].fill(0);
    segments[12..14].fill(0);
    call(&processor, KVM_SET_SREGS, segments.as_ptr().addr(), "set segments")?;
    let mut registers = [0u64; REGISTERS];
    registers[RIP] = 0x1000;
    registers[RFLAGS] = 2;
    call(&processor, KVM_SET_REGS, registers.as_ptr().addr(), "set registers")?;
    call(&processor, KVM_RUN, 0, "run")?;
    match shared.read_u32(EXIT_REASON_OFFSET) {
        KVM_EXIT_HLT => Ok(KvmState::Works),
        reason => Err(("run", io::Error::other(format!("the processor stopped for reason {reason}")))),
    }
}

fn call(target: &OwnedFd, request: libc::c_ulong, argument: usize, step: &'static str) -> Outcome<libc::c_int> {
    // SAFETY: every caller passes either a number or the address of memory with the size and layout that `request`
    // is about, which lives until after the call.
    let result = unsafe { libc::ioctl(target.as_raw_fd(), request as _, argument) };
    if result < 0 { Err((step, io::Error::last_os_error())) } else { Ok(result) }
}

fn descriptor(number: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel just made it for us.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Layouts and numbers of `linux/kvm.h` for x86-64.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    pub(super) const PAGE_BYTES: usize = 4096;
    pub(super) const KVM_CREATE_VCPU: libc::c_ulong = 0xae41;
    pub(super) const KVM_RUN: libc::c_ulong = 0xae80;
    pub(super) const KVM_SET_USER_MEMORY_REGION: libc::c_ulong = 0x4020_ae46;
    pub(super) const KVM_SET_REGS: libc::c_ulong = 0x4090_ae82;
    pub(super) const KVM_GET_SREGS: libc::c_ulong = 0x8138_ae83;
    pub(super) const KVM_SET_SREGS: libc::c_ulong = 0x4138_ae84;
    /// `sizeof(struct kvm_sregs)`, which is in its ioctl number; it begins with the code segment: base (8 bytes),
    /// limit (4), selector (2).
    pub(super) const SREGS_BYTES: usize = 0x138;
    /// `struct kvm_regs`: 16 general registers, `rip`, `rflags`.
    pub(super) const REGISTERS: usize = 18;
    pub(super) const RIP: usize = 16;
    pub(super) const RFLAGS: usize = 17;
    /// `exit_reason` in `struct kvm_run`.
    pub(super) const EXIT_REASON_OFFSET: usize = 8;
    pub(super) const KVM_EXIT_HLT: u32 = 5;

    /// `struct kvm_userspace_memory_region`.
    #[repr(C)]
    pub(super) struct Region {
        pub(super) slot: u32,
        pub(super) flags: u32,
        pub(super) guest_address: u64,
        pub(super) size_bytes: u64,
        pub(super) host_address: u64,
    }

    /// A shared mapping, taken away on drop.
    pub(super) struct Mapping {
        start: *mut u8,
        size_bytes: usize,
    }

    impl Mapping {
        pub(super) fn anonymous(size_bytes: usize) -> io::Result<Self> {
            Self::new(size_bytes, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)
        }

        pub(super) fn of(file: &OwnedFd, size_bytes: usize) -> io::Result<Self> {
            Self::new(size_bytes, libc::MAP_SHARED, file.as_raw_fd())
        }

        fn new(size_bytes: usize, flags: libc::c_int, file: libc::c_int) -> io::Result<Self> {
            // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
            let start = unsafe {
                libc::mmap(std::ptr::null_mut(), size_bytes, libc::PROT_READ | libc::PROT_WRITE, flags, file, 0)
            };
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { start: start.cast(), size_bytes })
        }

        pub(super) fn address(&self) -> usize {
            self.start.addr()
        }

        pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
            assert!(offset + bytes.len() <= self.size_bytes, "a write within the mapping");
            // SAFETY: the range is within the mapping, which nothing else in this program refers to.
            unsafe { self.start.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }

        pub(super) fn read_u32(&self, offset: usize) -> u32 {
            assert!(offset + 4 <= self.size_bytes, "a read within the mapping");
            // SAFETY: the range is within the mapping; volatile because the kernel writes there.
            unsafe { self.start.add(offset).cast::<u32>().read_volatile() }
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: the mapping is ours and nothing refers to it any more.
            unsafe { libc::munmap(self.start.cast(), self.size_bytes) };
        }
    }
}
