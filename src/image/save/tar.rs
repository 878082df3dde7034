//! Members of an archive as they are written: plain files of names that we make.

/// Blocks of an archive.
pub(super) const BLOCK: u64 = 512;

/// What an ustar header can say of a size.
const LARGEST: u64 = 0o77_777_777_777;

/// The header of a file (POSIX, ustar). The same for the same file, whenever it is written.
pub(super) fn header(name: &str, size: u64) -> Vec<u8> {
    let mut text = Vec::new();
    // Names of blobs by sha512 are longer than the field.
    if name.len() > 100 {
        text.extend(block("././@LongLink", name.len() as u64 + 1, b'L'));
        text.extend(name.bytes());
        text.push(0);
        text.resize(text.len().next_multiple_of(512), 0);
    }
    text.extend(block(name, size, b'0'));
    text
}

fn block(name: &str, size: u64, kind: u8) -> [u8; 512] {
    let mut block = [0; 512];
    let name = &name.as_bytes()[..name.len().min(100)];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    match size > LARGEST {
        // GNU and Go: a number of base 256 where octal digits do not reach.
        true => {
            block[124] = 0x80;
            block[128..136].copy_from_slice(&size.to_be_bytes());
        }
        false => block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes()),
    }
    block[136..148].copy_from_slice(b"00000000000\0");
    block[148..156].fill(b' ');
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Zeros after a file of this size.
pub(super) fn padding(size: u64) -> Vec<u8> {
    let length = (BLOCK - size % BLOCK) % BLOCK;
    std::iter::repeat_n(0, usize::try_from(length).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn another_reader_reads_what_is_written() {
        let long = format!("blobs/sha512/{}", "a".repeat(128));
        let mut text = Vec::new();
        for (name, content) in [("oci-layout", &b"{}"[..]), (&long, &[7; 512])] {
            text.extend(header(name, content.len() as u64));
            text.extend(content);
            text.extend(padding(content.len() as u64));
        }
        text.extend([0; 1024]);
        let mut archive = ::tar::Archive::new(&text[..]);
        let found: Vec<(String, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.path().unwrap().display().to_string(), entry.size()))
            .collect();
        assert_eq!(found, [("oci-layout".into(), 2), (long, 512)]);
        let large = header("x", 1 << 40);
        let large = ::tar::Header::from_byte_slice(&large).size().unwrap();
        assert_eq!(large, 1 << 40);
    }
}
