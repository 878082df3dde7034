//! Sockets that a service manager has opened for the container (sd_listen_fds(3)).

use std::ffi::CString;

use crate::spec::Container;

/// They are the first descriptors after the standard ones, here and in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sockets {
    pub count: u32,
    /// The value of `LISTEN_FDNAMES`.
    pub names: Option<Vec<u8>>,
}

impl Sockets {
    /// Tells the container's program of them, as its first process; in a pid namespace that it shares
    /// it has another number, and runc says 1 as well.
    pub(super) fn offer(&self, container: &mut Container) {
        let Some(process) = &mut container.process else {
            return;
        };
        let mut set = |name: &str, value: &[u8]| {
            let text = [name.as_bytes(), b"=", value].concat();
            process.set_variable(CString::new(text).expect("of an environment: no NUL"));
        };
        set("LISTEN_FDS", self.count.to_string().as_bytes());
        set("LISTEN_PID", b"1");
        if let Some(names) = &self.names {
            set("LISTEN_FDNAMES", names);
        }
    }
}
