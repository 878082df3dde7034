//! Requests to `/dev/kvm`.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;

use nix::errno::Errno;

use super::Request;
use super::guest::{self, MEMORY, Registers, SpecialRegisters};

const CREATE_VM: u64 = 0xae01;
const GET_VCPU_MMAP_SIZE: u64 = 0xae04;
const GET_SUPPORTED_CPUID: u64 = 0xc008_ae05;
const CREATE_VCPU: u64 = 0xae41;
const SET_USER_MEMORY_REGION: u64 = 0x4020_ae46;
const RUN: u64 = 0xae80;
const SET_REGS: u64 = 0x4090_ae82;
const GET_SREGS: u64 = 0x8138_ae83;
const SET_SREGS: u64 = 0x4138_ae84;
const SET_CPUID2: u64 = 0x4008_ae90;

/// Where `struct kvm_run` holds the reason of the exit.
const EXIT_REASON: usize = 8;

/// A shared mapping that is ours until it is dropped.
struct Mapping {
    at: *mut u8,
    length: usize,
}

impl Mapping {
    /// Of what `fd` refers to, or of zeroed memory.
    fn new(length: usize, fd: Option<BorrowedFd<'_>>) -> Result<Self, Errno> {
        let (flags, fd) = match fd {
            Some(fd) => (libc::MAP_SHARED, fd.as_raw_fd()),
            None => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
        };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: no address is asked for, so that nothing that is there is replaced.
        let at = unsafe { libc::mmap(null_mut(), length, protection, flags, fd, 0) };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(Self {
            at: at.cast(),
            length,
        })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has this length and lives as long as `self`; the only other one that
        // writes to it is the guest, and it runs only inside of `KVM_RUN`.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference to it outlives `self`. That the call fails
        // would mean that it is none.
        unsafe { libc::munmap(self.at.cast(), self.length) };
    }
}

/// A request whose argument is a number.
fn ask(fd: BorrowedFd<'_>, request: u64, argument: u64) -> Result<RawFd, Errno> {
    // SAFETY: the requests this is used for read no memory.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) })
}

fn ask_for_fd(fd: BorrowedFd<'_>, request: u64, argument: u64) -> Result<OwnedFd, Errno> {
    let fd = ask(fd, request, argument)?;
    // SAFETY: requests that create answer with a new descriptor, which is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A request whose argument is a structure.
///
/// # Safety
/// `T` is what the kernel reads or writes for `request`, and may hold any bytes.
unsafe fn pass<T>(fd: BorrowedFd<'_>, request: u64, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: the structure fits by this function's own contract, and outlives the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut *argument) };
    Errno::result(result).map(drop)
}

/// `struct kvm_userspace_memory_region`
#[repr(C)]
struct Region {
    slot: u32,
    flags: u32,
    guest: u64,
    size: u64,
    host: u64,
}

/// `struct kvm_cpuid_entry2`
#[repr(C)]
#[derive(Clone, Copy)]
struct Feature {
    function: u32,
    index: u32,
    flags: u32,
    eax: u32,
    ebx: u32,
    ecx: u32,
    edx: u32,
    padding: [u32; 3],
}

/// `struct kvm_cpuid2` with room for more entries than any kernel has (`KVM_MAX_CPUID_ENTRIES`).
#[repr(C)]
struct Features {
    count: u32,
    padding: u32,
    entries: [Feature; 256],
}

impl Features {
    fn has_xsave(&self) -> bool {
        self.entries
            .iter()
            .take(self.count as usize)
            .any(|f| f.function == 1 && f.ecx & 1 << 26 != 0)
    }
}

fn set_memory(vm: BorrowedFd<'_>, memory: &mut Mapping) -> Result<(), Errno> {
    let mut region = Region {
        slot: 0,
        flags: 0,
        guest: 0,
        size: memory.length as u64,
        host: memory.at as u64,
    };
    // SAFETY: the structure is the one of this request; the memory it names outlives the machine
    // in `run`.
    unsafe { pass(vm, SET_USER_MEMORY_REGION, &mut region) }
}

/// Gives the processor all the features that the host can virtualise; whether xsave is one.
fn set_features(kvm: BorrowedFd<'_>, cpu: BorrowedFd<'_>) -> Result<bool, Errno> {
    // SAFETY: Features is plain numbers, for which zero is valid.
    let mut features: Features = unsafe { std::mem::zeroed() };
    features.count = 256;
    // SAFETY: the structure is the one of this request, with room for as many entries as it says.
    unsafe { pass(kvm, GET_SUPPORTED_CPUID, &mut features) }?;
    // SAFETY: as above; the kernel has set the count.
    unsafe { pass(cpu, SET_CPUID2, &mut features) }?;
    Ok(features.has_xsave())
}

fn set_registers(cpu: BorrowedFd<'_>, has_xsave: bool) -> Result<(), Errno> {
    // SAFETY: SpecialRegisters is plain numbers, for which zero is valid.
    let mut special: SpecialRegisters = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is the one of this request.
    unsafe { pass(cpu, GET_SREGS, &mut special) }?;
    guest::enter_long_mode(&mut special, has_xsave);
    // SAFETY: the structure is the one of this request.
    unsafe { pass(cpu, SET_SREGS, &mut special) }?;
    let mut registers: Registers = guest::registers(has_xsave);
    // SAFETY: the structure is the one of this request.
    unsafe { pass(cpu, SET_REGS, &mut registers) }
}

/// Makes the machine and runs it until it stops: the reason, and the step that the guest was at.
pub(super) fn run() -> Result<(u32, u8), (Request, Errno)> {
    use std::os::fd::AsFd;

    let refused = |request| move |errno| (request, errno);
    let flags = libc::O_RDWR;
    let kvm = crate::sys::path::open(
        crate::sys::path::HERE,
        c"/dev/kvm",
        flags,
        crate::sys::path::Resolve::Host,
    )
    .map_err(refused(Request::Open))?;

    // Declared before the machine, so that it is dropped after it.
    let mut memory = Mapping::new(MEMORY, None).map_err(refused(Request::SetMemory))?;
    let vm = ask_for_fd(kvm.as_fd(), CREATE_VM, 0).map_err(refused(Request::CreateMachine))?;
    guest::load(memory.bytes());
    set_memory(vm.as_fd(), &mut memory).map_err(refused(Request::SetMemory))?;

    let cpu = ask_for_fd(vm.as_fd(), CREATE_VCPU, 0).map_err(refused(Request::CreateProcessor))?;
    let mut state = ask(kvm.as_fd(), GET_VCPU_MMAP_SIZE, 0)
        .and_then(|size| usize::try_from(size).map_err(|_| Errno::EOVERFLOW))
        .and_then(|size| Mapping::new(size, Some(cpu.as_fd())))
        .map_err(refused(Request::CreateProcessor))?;
    let has_xsave =
        set_features(kvm.as_fd(), cpu.as_fd()).map_err(refused(Request::SetFeatures))?;
    set_registers(cpu.as_fd(), has_xsave).map_err(refused(Request::SetRegisters))?;

    ask(cpu.as_fd(), RUN, 0).map_err(refused(Request::Run))?;
    let exit = &state.bytes()[EXIT_REASON..EXIT_REASON + 4];
    let exit = u32::from_ne_bytes(exit.try_into().expect("four bytes"));
    Ok((exit, memory.bytes()[guest::STEP]))
}
