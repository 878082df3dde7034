//! The home directory of a user, as the image's own passwd says.

use std::ffi::CString;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use crate::sys::path::{Resolve, open, open_regular};

/// More than any real passwd; a larger one is read up to here.
const MOST: u64 = 1 << 20;

/// The home of `uid` by /etc/passwd under `root`; `/` when there is none. The file is the image's:
/// links in it stay in the root, and a fifo neither hangs nor counts (CVE-2024-9676).
pub(super) fn home(root: &Path, uid: u32) -> String {
    read_passwd(root)
        .and_then(|text| find(&text, uid))
        .unwrap_or_else(|| "/".into())
}

fn read_passwd(root: &Path) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    let root = CString::new(root.as_os_str().as_bytes()).ok()?;
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let root = open(crate::sys::path::HERE, &root, flags, Resolve::Host).ok()?;
    let file = open_regular(root.as_fd(), c"etc/passwd").ok()??;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The sixth field of the first line whose third is `uid` (passwd(5)).
fn find(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let is_user = fields.get(2)?.parse() == Ok(uid);
        let home = fields
            .get(5)
            .filter(|home| is_user && home.starts_with('/'))?;
        (!home.contains('\0')).then(|| (*home).to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_home_is_that_of_the_user() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/var/www:/bin/sh\n";
        assert_eq!(find(text, 33).as_deref(), Some("/var/www"));
        assert_eq!(find(text, 0).as_deref(), Some("/root"));
        assert_eq!(find(text, 1), None);
        assert_eq!(find("a:x:1:1::relative:\n", 1), None);
        assert_eq!(find("a:x:4294967297:1::/x:\n", 1), None);
    }
}
