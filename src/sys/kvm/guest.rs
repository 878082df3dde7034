//! The program of the guest, and what a processor must find in memory to run it in long mode.

use std::arch::global_asm;

/// Bytes of guest memory, from address 0.
pub(super) const MEMORY: usize = 0x1_0000;

const LEVEL4: u64 = 0x1000;
const LEVEL3: u64 = 0x2000;
const LEVEL2: u64 = 0x3000;
const INTERRUPTS: u64 = 0x4000;
const SEGMENTS: u64 = 0x5000;
/// Where the guest writes which step it is at.
pub(super) const STEP: usize = 0x6000;
const STACK: u64 = 0x9000;
const CODE: u64 = 0xa000;

// Before each step the guest writes its number to STEP. The interrupt handler comes first, and the
// start at 16. rdi is 1 where the processor has xsave. 0x7000 is room for the state, all zero: a
// standard save area whose header xrstor accepts (Intel SDM 1, 13.8).
global_asm!(
    ".pushsection .rodata.bulkhead_kvm_guest, \"a\", @progbits",
    ".balign 16",
    ".global bulkhead_kvm_guest",
    "bulkhead_kvm_guest:",
    "iretq",
    ".balign 16",
    "mov byte ptr [0x6000], 1",
    "xor eax, eax",
    "xor edx, edx",
    "mov ebx, 1",
    "xor ecx, ecx",
    "lock cmpxchg16b [0x6010]",
    "mov byte ptr [0x6000], 2",
    "int3",
    "mov byte ptr [0x6000], 3",
    "mov rax, cr3",
    "mov cr3, rax",
    "mov byte ptr [0x6000], 4",
    "invlpg [0x6000]",
    "mov byte ptr [0x6000], 5",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "wrmsr",
    "test edi, edi",
    "jz 2f",
    "mov byte ptr [0x6000], 6",
    "xor ecx, ecx",
    "xor edx, edx",
    "mov eax, 3",
    "xsetbv",
    "xsave [0x7000]",
    "xrstor [0x7000]",
    "2:",
    "mov byte ptr [0x6000], 7",
    "hlt",
    ".global bulkhead_kvm_guest_end",
    "bulkhead_kvm_guest_end:",
    ".popsection",
);

fn code() -> &'static [u8] {
    unsafe extern "C" {
        static bulkhead_kvm_guest: u8;
        static bulkhead_kvm_guest_end: u8;
    }
    let (start, end) = (
        &raw const bulkhead_kvm_guest,
        &raw const bulkhead_kvm_guest_end,
    );
    // SAFETY: both labels are in one section of this program, the end behind the start, and what
    // lies between is read-only.
    unsafe { std::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// Fills the guest's memory, which is all zero.
pub(super) fn load(memory: &mut [u8]) {
    let mut put = |at: u64, word: u64| {
        let at = usize::try_from(at).expect("below 64 KiB");
        memory[at..at + 8].copy_from_slice(&word.to_le_bytes());
    };
    // One page of 2 MiB at 0 (present, writable, large), so that addresses are what they seem.
    put(LEVEL4, LEVEL3 | 3);
    put(LEVEL3, LEVEL2 | 3);
    put(LEVEL2, 0x83);
    // iretq loads both segments anew: 64-bit code and flat data (Intel SDM 3, 3.4.5).
    put(SEGMENTS + 8, 0x00af_9b00_0000_ffff);
    put(SEGMENTS + 16, 0x00cf_9300_0000_ffff);
    // Vector 3, an interrupt gate to the handler (Intel SDM 3, 6.14.1).
    put(INTERRUPTS + 3 * 16, CODE | 8 << 16 | 0x8e00 << 32);
    let start = usize::try_from(CODE).expect("below 64 KiB");
    memory[start..start + code().len()].copy_from_slice(code());
}

/// `struct kvm_segment`
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Segment {
    base: u64,
    limit: u32,
    selector: u16,
    kind: u8,
    present: u8,
    dpl: u8,
    db: u8,
    s: u8,
    l: u8,
    g: u8,
    avl: u8,
    unusable: u8,
    padding: u8,
}

/// `struct kvm_dtable`
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Table {
    base: u64,
    limit: u16,
    padding: [u16; 3],
}

/// `struct kvm_sregs`
#[repr(C)]
pub(super) struct SpecialRegisters {
    cs: Segment,
    /// ds, es, fs, gs, ss
    flat: [Segment; 5],
    tr: Segment,
    ldt: Segment,
    gdt: Table,
    idt: Table,
    cr0: u64,
    cr2: u64,
    cr3: u64,
    cr4: u64,
    cr8: u64,
    efer: u64,
    apic_base: u64,
    interrupts: [u64; 4],
}

/// `struct kvm_regs`
#[repr(C)]
#[derive(Default)]
pub(super) struct Registers {
    /// rax rbx rcx rdx rsi
    first: [u64; 5],
    rdi: u64,
    rsp: u64,
    /// rbp, r8 to r15
    rest: [u64; 9],
    rip: u64,
    rflags: u64,
}

/// Sets what is to be in long mode, with paging on; the rest stays as the kernel made it.
pub(super) fn enter_long_mode(sregs: &mut SpecialRegisters, has_xsave: bool) {
    const PE_MP_ET_NE_WP_PG: u64 = 0x8001_0033;
    const PAE_OSFXSR_OSXMMEXCPT: u64 = 0x620;
    const OSXSAVE: u64 = 1 << 18;
    const SCE_LME_LMA: u64 = 0x501;
    let flat = Segment {
        base: 0,
        limit: u32::MAX,
        selector: 16,
        kind: 3,
        present: 1,
        dpl: 0,
        db: 1,
        s: 1,
        l: 0,
        g: 1,
        avl: 0,
        unusable: 0,
        padding: 0,
    };
    sregs.cs = Segment {
        selector: 8,
        kind: 11,
        db: 0,
        l: 1,
        ..flat
    };
    sregs.flat = [flat; 5];
    sregs.gdt.base = SEGMENTS;
    sregs.gdt.limit = 23;
    sregs.idt.base = INTERRUPTS;
    sregs.idt.limit = 4 * 16 - 1;
    sregs.cr0 = PE_MP_ET_NE_WP_PG;
    sregs.cr3 = LEVEL4;
    sregs.cr4 = PAE_OSFXSR_OSXMMEXCPT | if has_xsave { OSXSAVE } else { 0 };
    sregs.efer = SCE_LME_LMA;
}

pub(super) fn registers(has_xsave: bool) -> Registers {
    Registers {
        rdi: has_xsave.into(),
        rsp: STACK,
        rip: CODE + 16,
        // Bit 1 is always set.
        rflags: 2,
        ..Registers::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registers_have_the_size_that_the_kernel_reads() {
        // From the sizes in KVM_SET_SREGS and KVM_SET_REGS.
        assert_eq!(size_of::<SpecialRegisters>(), 0x138);
        assert_eq!(size_of::<Registers>(), 0x90);
    }

    #[test]
    fn the_program_ends_in_hlt_and_fits() {
        let code = code();
        assert_eq!(code[..2], [0x48, 0xcf], "iretq");
        assert_eq!(code.last(), Some(&0xf4), "hlt");
        assert!(code.len() < 256);
    }
}
