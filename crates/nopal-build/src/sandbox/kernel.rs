//! System calls that rustix does not offer. None of them allocates: they run between `clone` and `execve`.

use std::ffi::CStr;

use rustix::io::Errno;
use rustix::mount::MountFlags;

/// The version of `struct landlock_ruleset_attr` with the `scoped` field (Linux 6.12, landlock.h).
#[repr(C)]
struct LandlockRuleset {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `LANDLOCK_CREATE_RULESET_VERSION`: ask for the ABI version instead of a rule set.
const LANDLOCK_VERSION: libc::c_ulong = 1;
/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`.
const LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
/// The first ABI that knows scopes.
const LANDLOCK_ABI_SCOPES: i32 = 6;

/// Descriptors that are closed one by one where the kernel cannot close a range.
const FEW_DESCRIPTORS: libc::c_int = 4096;

fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 { Err(last_error()) } else { Ok(result) }
}

fn last_error() -> Errno {
    // SAFETY: the location is valid for the life of the thread.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// Makes a mount and all below it read-only and without set-user-id.
pub(crate) fn protect_mount(at: &CStr) -> Result<(), Errno> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: `at` is NUL-terminated and `attributes` has the size that is passed; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            at.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result).map(drop)
}

/// Makes the root itself read-only; mounts on it stay as they are.
pub(crate) fn freeze_root() -> Result<(), Errno> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount_remount(c"/", flags, c"")
}

/// Brings up `lo` of the current network namespace.
pub(super) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_LOOPBACK | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: plain numbers; the descriptor is closed below.
    let socket =
        check(libc::c_long::from(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }))?;
    let socket = socket as libc::c_int;
    // SAFETY: the kernel reads an `ifreq`, which `request` is.
    let result = check(libc::c_long::from(unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) }));
    // SAFETY: `socket` is open and ours.
    unsafe { libc::close(socket) };
    result.map(drop)
}

/// Adds to the execution domain of this process.
pub(super) fn set_personality(persona: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: plain numbers; 0xffffffff asks without changing.
    let now = check(libc::c_long::from(unsafe { libc::personality(0xffff_ffff) }))?;
    // SAFETY: as above.
    check(libc::c_long::from(unsafe { libc::personality(now as libc::c_ulong | persona) })).map(drop)
}

/// The version of Landlock that the kernel offers; 0 if none.
pub(crate) fn landlock_abi() -> i32 {
    // SAFETY: with this flag the kernel takes a null pointer and the size 0.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<LandlockRuleset>(), 0usize, LANDLOCK_VERSION)
    };
    i32::try_from(version).unwrap_or(0).max(0)
}

/// Cuts this process off from abstract sockets made outside of it, where the kernel can do that (Linux 6.12).
pub(super) fn scope_sockets() -> Result<(), Errno> {
    if landlock_abi() < LANDLOCK_ABI_SCOPES {
        return Ok(());
    }
    let ruleset =
        LandlockRuleset { handled_access_fs: 0, handled_access_net: 0, scoped: LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET };
    // SAFETY: the kernel reads as many bytes as the size says, which `ruleset` has.
    let descriptor = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size_of::<LandlockRuleset>(),
            0 as libc::c_ulong,
        )
    })?;
    // SAFETY: plain numbers.
    let result = check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, descriptor, 0 as libc::c_ulong) });
    // SAFETY: the descriptor is open and ours.
    unsafe { libc::close(descriptor as libc::c_int) };
    result.map(drop)
}

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: libc::c_uint) {
    // SAFETY: plain numbers; the calling process is a child with a table of its own, and needs none of them.
    if unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0 as libc::c_uint) } == 0 {
        return;
    }
    // before Linux 5.9 one by one; few processes have more than these
    for descriptor in first.cast_signed()..FEW_DESCRIPTORS {
        // SAFETY: as above; most are not open, and that is all right.
        unsafe { libc::close(descriptor) };
    }
}
