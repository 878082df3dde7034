//! A registry of Amazon's: moto gives the token as ECR does, and verifies how it was asked for it;
//! docker-registry, which knows its password, has the image.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use bulkhead::aws::Variables;
use bulkhead::image::Reference;
use bulkhead::image::source::registry::{Access, Registry};
use bulkhead::net::{Client, Method, Names, Request, Setup};
use tempfile::TempDir;

use crate::daemon::{Daemon, Running, free_port};
use crate::harness::{fixture, needs};
use crate::images_at::{REPOSITORY, access, file, image, pull, refused};

/// `AWS` with the password that moto gives to everybody, by bcrypt.
const USER: &str = "AWS:$2b$04$UaZk1.bvGpiyuLblg6Mdz.PRaGmzqJn8U9GfRMUAcRpaIwJp3oqEi\n";

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

struct Moto {
    url: String,
    id: String,
    secret: String,
    _process: Running,
}

impl Moto {
    /// It lets three calls pass unseen, which make a user with a key; then it verifies signatures.
    fn start() -> Self {
        let port = free_port();
        let mut command = Command::new(fixture("moto").join("bin/python3"));
        command
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &port.to_string(),
            ])
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "3")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Running::start(&mut command, port);
        let url = format!("http://127.0.0.1:{port}");
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        let policy = bulkhead::net::url::encode(policy);
        iam(&url, "Action=CreateUser&UserName=me");
        iam(
            &url,
            &format!("Action=PutUserPolicy&UserName=me&PolicyName=all&PolicyDocument={policy}"),
        );
        let reply = iam(&url, "Action=CreateAccessKey&UserName=me");
        let word = |name: &str| {
            let (_, rest) = reply.split_once(&format!("<{name}>")).unwrap();
            rest.split('<').next().unwrap().to_owned()
        };
        Self {
            id: word("AccessKeyId"),
            secret: word("SecretAccessKey"),
            url,
            _process: process,
        }
    }

    fn variables<'a>(&'a self, secret: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("AWS_ENDPOINT_URL_ECR", &self.url),
            ("AWS_ACCESS_KEY_ID", &self.id),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ]
    }
}

fn iam(url: &str, body: &str) -> String {
    let request = Request::new(Method::Post, format!("{url}/").parse().unwrap())
        .header("content-type", "application/x-www-form-urlencoded")
        // Which service is meant moto reads here.
        .header("authorization", "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x")
        .body(format!("{body}&Version=2010-05-08"));
    let response = Client::new(Setup::default()).send(&request).unwrap();
    assert_eq!(response.status, 200);
    String::from_utf8(response.document(1 << 20).unwrap()).unwrap()
}

/// ECR's name leads to the port of this machine by an address of the loopback, of which each test has
/// its own: what is configured to be elsewhere gets no password of ECR's.
fn lead(port: u16, number: u8, access: &mut Access) -> TempDir {
    let address = format!("127.0.7.{number}");
    let (dir, hosts) = file("hosts", &format!("{address} {HOST}\n"));
    access.setup.names = Names::from_files(hosts, "/nonexistent", 1);
    // By HTTP, since it has no certificate for that name.
    access.insecure = true;
    let listener = TcpListener::bind((address, 80)).unwrap();
    thread::spawn(move || {
        for from in listener.incoming() {
            let from = from.unwrap();
            let to = TcpStream::connect(("127.0.0.1", port)).unwrap();
            for (mut from, mut to) in [
                (from.try_clone().unwrap(), to.try_clone().unwrap()),
                (to, from),
            ] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    dir
}

fn open(access: &Access) -> Registry {
    let reference = Reference::parse(&format!("{HOST}/{REPOSITORY}:1")).unwrap();
    Registry::open(&reference, access).unwrap()
}

#[test]
fn a_token_of_ecr_opens_its_registry() {
    needs!(docker_registry, skopeo, moto);
    let moto = Moto::start();
    let daemon = Daemon::with_user(USER);
    daemon.push(&image(), &["--dest-creds", "AWS:123456789012-auth-token"]);
    let mut access = access();
    let _hosts = lead(daemon.port, 1, &mut access);

    access.aws = Variables::from(moto.variables(&moto.secret));
    // The token ended in 2015, by its own word; the registry takes it.
    pull(&open(&access), &image());

    access.aws = Variables::from(moto.variables("wrong"));
    let error = refused(&open(&access));
    assert!(
        error.contains("GetAuthorizationToken at http://127.0.0.1:"),
        "{error}"
    );
    assert!(error.contains("SignatureDoesNotMatch"), "{error}");

    access.aws = Variables::from([("AWS_EC2_METADATA_DISABLED", "true")]);
    let error = refused(&open(&access));
    assert!(error.contains("no AWS credentials"), "{error}");
}

#[test]
fn a_token_of_ecr_that_is_refused_is_not_asked_for_for_ever() {
    needs!(docker_registry, moto);
    let moto = Moto::start();
    // This registry knows another password.
    let daemon =
        Daemon::with_user("AWS:$2b$04$Qp1Qv/xwgHzNfYlUVPJ4SeXi3JSZz0Hhj88B.J81vdJD8MPaumeai\n");
    let mut access = access();
    let _hosts = lead(daemon.port, 2, &mut access);
    access.aws = Variables::from(moto.variables(&moto.secret));
    let error = refused(&open(&access));
    assert!(
        error.contains("it refuses the credentials for it"),
        "{error}"
    );
}

#[test]
fn a_region_that_does_not_answer_is_named() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let server = crate::server::Server::start(|_, _| {
        crate::server::Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\"")
    });
    let at = server.host().parse::<SocketAddr>().unwrap().port();
    let mut access = access();
    let _hosts = lead(at, 3, &mut access);
    access.aws = Variables::from([
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "A"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
    ]);
    let error = refused(&open(&access));
    assert!(
        error.contains(&format!(
            "GetAuthorizationToken: POST {url}/: Connection refused"
        )),
        "{error}"
    );
}
