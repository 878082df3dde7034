//! CRIU's messages, in protobuf: of those in its rpc.proto the fields that are sent or read here.

/// What is asked, and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    Empty = 0,
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    Notify = 6,
    FeatureCheck = 9,
    Version = 10,
}

/// What becomes of the control groups of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum GroupMode {
    /// Whatever groups a container has made below its own: all its processes are in its own.
    Ignore = 0,
    /// Restore the properties of groups that CRIU itself has to make.
    Soft = 3,
    /// Of all groups.
    Full = 4,
    /// Of all groups, which must not be there before.
    Strict = 5,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Request {
    #[prost(enumeration = "Kind", required, tag = "1")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) options: Option<Options>,
    /// In an answer to a notice: that it goes on.
    #[prost(bool, optional, tag = "3")]
    pub(crate) notify_success: Option<bool>,
    /// More will be asked.
    #[prost(bool, optional, tag = "4")]
    pub(crate) keep_open: Option<bool>,
    #[prost(message, optional, tag = "5")]
    pub(crate) features: Option<Features>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Options {
    /// Descriptors are those of the process that asks.
    #[prost(int32, required, tag = "1")]
    pub(crate) images_dir_fd: i32,
    #[prost(int32, optional, tag = "2")]
    pub(crate) pid: Option<i32>,
    #[prost(bool, tag = "3")]
    pub(crate) leave_running: bool,
    #[prost(bool, tag = "4")]
    pub(crate) ext_unix_sk: bool,
    #[prost(bool, tag = "5")]
    pub(crate) tcp_established: bool,
    #[prost(bool, tag = "6")]
    pub(crate) evasive_devices: bool,
    #[prost(bool, tag = "7")]
    pub(crate) shell_job: bool,
    #[prost(bool, tag = "8")]
    pub(crate) file_locks: bool,
    #[prost(int32, optional, tag = "9")]
    pub(crate) log_level: Option<i32>,
    #[prost(string, optional, tag = "10")]
    pub(crate) log_file: Option<String>,
    #[prost(message, optional, tag = "11")]
    pub(crate) page_server: Option<PageServer>,
    #[prost(bool, tag = "12")]
    pub(crate) notify_scripts: bool,
    #[prost(string, optional, tag = "13")]
    pub(crate) root: Option<String>,
    #[prost(string, optional, tag = "14")]
    pub(crate) parent_img: Option<String>,
    #[prost(bool, tag = "15")]
    pub(crate) track_mem: bool,
    #[prost(bool, tag = "16")]
    pub(crate) auto_dedup: bool,
    #[prost(int32, optional, tag = "17")]
    pub(crate) work_dir_fd: Option<i32>,
    #[prost(bool, tag = "18")]
    pub(crate) link_remap: bool,
    #[prost(message, repeated, tag = "23")]
    pub(crate) ext_mnt: Vec<ExternalMount>,
    #[prost(bool, tag = "24")]
    pub(crate) manage_cgroups: bool,
    #[prost(message, repeated, tag = "25")]
    pub(crate) cg_root: Vec<GroupRoot>,
    /// The restored process is a child of the one that asks.
    #[prost(bool, tag = "26")]
    pub(crate) rst_sibling: bool,
    #[prost(message, repeated, tag = "27")]
    pub(crate) inherit_fd: Vec<Inherited>,
    #[prost(enumeration = "GroupMode", optional, tag = "34")]
    pub(crate) manage_cgroups_mode: Option<i32>,
    #[prost(string, repeated, tag = "37")]
    pub(crate) external: Vec<String>,
    /// `CLONE_NEW*` bits of namespaces that are restored without what is in them.
    #[prost(uint32, optional, tag = "38")]
    pub(crate) empty_ns: Option<u32>,
    #[prost(message, repeated, tag = "39")]
    pub(crate) join_ns: Vec<JoinedNamespace>,
    #[prost(string, optional, tag = "44")]
    pub(crate) freeze_cgroup: Option<String>,
    #[prost(bool, tag = "46")]
    pub(crate) tcp_skip_in_flight: bool,
    #[prost(bool, tag = "48")]
    pub(crate) lazy_pages: bool,
    /// Send the master of a terminal whose other end is restored.
    #[prost(bool, tag = "50")]
    pub(crate) orphan_pts_master: bool,
    #[prost(string, optional, tag = "51")]
    pub(crate) config_file: Option<String>,
    #[prost(string, optional, tag = "53")]
    pub(crate) lsm_profile: Option<String>,
    #[prost(string, optional, tag = "63")]
    pub(crate) lsm_mount_context: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PageServer {
    #[prost(string, optional, tag = "1")]
    pub(crate) address: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) port: Option<i32>,
}

/// A mount from outside. Saved: where it is, and under which name it is to be known; restored: that
/// name, and what is to be bound there.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExternalMount {
    #[prost(string, required, tag = "1")]
    pub(crate) key: String,
    #[prost(string, required, tag = "2")]
    pub(crate) val: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GroupRoot {
    #[prost(string, optional, tag = "1")]
    pub(crate) controller: Option<String>,
    #[prost(string, required, tag = "2")]
    pub(crate) path: String,
}

/// A descriptor of CRIU's own that takes the place of what has this name in the images.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Inherited {
    #[prost(string, required, tag = "1")]
    pub(crate) key: String,
    #[prost(int32, required, tag = "2")]
    pub(crate) fd: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct JoinedNamespace {
    #[prost(string, required, tag = "1")]
    pub(crate) kind: String,
    #[prost(string, required, tag = "2")]
    pub(crate) file: String,
}

/// Asked: which of these; answered: which there are.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Features {
    #[prost(bool, optional, tag = "1")]
    pub(crate) mem_track: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub(crate) lazy_pages: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answer {
    #[prost(enumeration = "Kind", required, tag = "1")]
    pub(crate) kind: i32,
    #[prost(bool, required, tag = "2")]
    pub(crate) success: bool,
    #[prost(message, optional, tag = "5")]
    pub(crate) notify: Option<Notify>,
    #[prost(int32, optional, tag = "7")]
    pub(crate) errno: Option<i32>,
    #[prost(message, optional, tag = "8")]
    pub(crate) features: Option<Features>,
    #[prost(string, optional, tag = "9")]
    pub(crate) message: Option<String>,
    #[prost(message, optional, tag = "10")]
    pub(crate) version: Option<Version>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Notify {
    /// What CRIU has come to, as its action scripts are told: `post-restore`.
    #[prost(string, optional, tag = "1")]
    pub(crate) script: Option<String>,
    /// Of the first process.
    #[prost(int32, optional, tag = "2")]
    pub(crate) pid: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Version {
    #[prost(int32, required, tag = "1")]
    pub(crate) major: i32,
    #[prost(int32, required, tag = "2")]
    pub(crate) minor: i32,
    #[prost(int32, optional, tag = "4")]
    pub(crate) sublevel: Option<i32>,
}
