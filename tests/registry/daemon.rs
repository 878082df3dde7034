//! Debian's docker-registry, and the pushing of images to it by skopeo.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::images::Built;
use crate::images_at::REPOSITORY;

/// A process that ends with the test.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    /// Starts it, and waits until it listens at the port.
    pub(crate) fn start(command: &mut Command, port: u16) -> Self {
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut running = Self(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                running.0.try_wait().unwrap().is_none(),
                "{command:?} has ended"
            );
            assert!(
                Instant::now() < deadline,
                "{command:?} does not listen at {port}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One that is free now, and that nobody else in the jail takes.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) port: u16,
    dir: TempDir,
    users: Option<TempDir>,
    _process: Running,
}

impl Daemon {
    /// `auth` as in the registry's configuration; `tls` are the files of a certificate and its key.
    pub(crate) fn start(auth: Value, tls: Option<(&Path, &Path)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut config = json!({
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": dir.path().join("storage")}},
            "http": {"addr": format!("127.0.0.1:{port}"), "secret": "of the test"},
        });
        if !auth.is_null() {
            config["auth"] = auth;
        }
        if let Some((certificate, key)) = tls {
            config["http"]["tls"] = json!({"certificate": certificate, "key": key});
        }
        // JSON is YAML.
        let path = dir.path().join("config.yml");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Running::start(&mut command, port);
        Self {
            port,
            dir,
            users: None,
            _process: process,
        }
    }

    /// A registry that knows one user by his password.
    pub(crate) fn with_user(line: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("htpasswd");
        std::fs::write(&file, line).unwrap();
        let mut daemon = Self::start(
            json!({"htpasswd": {"realm": "of the test", "path": file}}),
            None,
        );
        // It reads the file at the first request.
        daemon.users = Some(dir);
        daemon
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn push(&self, built: &Built, options: &[&str]) {
        let layout = self.dir.path().join("layout");
        built.write_layout(&layout);
        let to = format!("docker://{}/{REPOSITORY}:1", self.host());
        let pushed = Command::new("skopeo")
            .args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--preserve-digests",
                "--dest-tls-verify=false",
            ])
            .args(options)
            .arg(format!("oci:{}:1", layout.display()))
            .arg(to)
            .output()
            .unwrap();
        assert!(
            pushed.status.success(),
            "{}",
            String::from_utf8_lossy(&pushed.stderr)
        );
    }
}

/// Runs a program to its success.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A certificate for 127.0.0.1 and registry.example, and the authority that signed it.
#[derive(Debug)]
pub(crate) struct Certificates {
    dir: TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (ca, ca_key) = (path("ca.crt"), path("ca.key"));
        let (request, certificate, key, names) = (
            path("csr"),
            path("server.crt"),
            path("server.key"),
            path("names"),
        );
        let curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ];
        run(
            "openssl",
            &[
                &[
                    "req",
                    "-x509",
                    "-subj",
                    "/CN=test CA",
                    "-days",
                    "2",
                    "-keyout",
                    &ca_key,
                    "-out",
                    &ca,
                ],
                &curve[..],
            ]
            .concat(),
        );
        run(
            "openssl",
            &[
                &[
                    "req",
                    "-new",
                    "-subj",
                    "/CN=registry",
                    "-keyout",
                    &key,
                    "-out",
                    &request,
                ],
                &curve[..],
            ]
            .concat(),
        );
        std::fs::write(&names, "subjectAltName=IP:127.0.0.1,DNS:registry.example\n").unwrap();
        run(
            "openssl",
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                &ca,
                "-CAkey",
                &ca_key,
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                &names,
                "-out",
                &certificate,
            ],
        );
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
