//! The chain of credentials, against endpoints of the test's own on the loopback.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;

/// Answers each connection's one request with what `reply` makes of its head; keeps the heads.
fn serve(
    reply: impl Fn(&str) -> (u16, String) + Send + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            if head.to_ascii_lowercase().contains("content-length: ") {
                let _ = reader.take(0).read(&mut []);
            }
            let (status, body) = reply(&head);
            kept.lock().unwrap().push(head);
            let length = body.len();
            // Of a redirect the body says where to.
            let location = match status {
                302 => format!("location: {body}\r\n"),
                _ => String::new(),
            };
            let text = format!(
                "HTTP/1.1 {status} X\r\n{location}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    (format!("http://{address}"), heads)
}

const FAR: &str = "2999-01-01T00:00:00Z";

fn reply(id: &str, expiration: &str) -> String {
    format!(
        r#"{{"AccessKeyId":"{id}","SecretAccessKey":"hidden","Token":"also hidden","Expiration":"{expiration}"}}"#
    )
}

#[test]
fn the_environment_comes_first_and_whole() {
    let (id, secret) = (
        ("AWS_ACCESS_KEY_ID", "A"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
    );
    let found = Provider::new(Variables::from([id, secret, ("AWS_SESSION_TOKEN", "T")]))
        .credentials()
        .unwrap();
    assert_eq!(
        (found.access_key_id.as_str(), found.secret.reveal()),
        ("A", "hidden")
    );
    assert_eq!(found.session_token.unwrap().reveal(), "T");
    let half = Provider::new(Variables::from([id]))
        .credentials()
        .unwrap_err();
    assert_eq!(
        half.to_string(),
        "AWS_SECRET_ACCESS_KEY: not set, though AWS_ACCESS_KEY_ID is"
    );
}

#[test]
fn a_secret_is_in_no_dump() {
    let provider = Provider::new(Variables::from([
        ("AWS_ACCESS_KEY_ID", "A"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
    ]));
    let dumps = format!("{provider:?} {:?}", provider.credentials().unwrap());
    assert!(!dumps.contains("hidden"), "{dumps}");
    let error =
        reply::parse(br#"{"AccessKeyId": "A", "SecretAccessKey": {"hidden": 1}}"#).unwrap_err();
    assert!(!error.contains("hidden"), "{error}");
}

#[test]
fn a_profile_may_name_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    let text = reply("P", "2999-01-01T00:00:00+00:00").replace("Token", "SessionToken");
    fs::write(
        &config,
        format!("[default]\ncredential_process = printf '%s' '{text}'\n"),
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let found = Provider::new(Variables::from([("AWS_CONFIG_FILE", config)]))
        .credentials()
        .unwrap();
    assert_eq!(
        (
            found.access_key_id.as_str(),
            found.session_token.unwrap().reveal()
        ),
        ("P", "also hidden")
    );
    fs::write(config, "[default]\ncredential_process = exit 3\n").unwrap();
    let error = Provider::new(Variables::from([("AWS_CONFIG_FILE", config)]))
        .credentials()
        .unwrap_err();
    assert!(
        error.to_string().contains("it failed (exit status: 3)"),
        "{error}"
    );
}

#[test]
fn a_way_that_is_not_supported_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    fs::write(
        &config,
        "[profile work]\nrole_arn = arn:x\nsource_profile = default\n",
    )
    .unwrap();
    let variables = [
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_PROFILE", "work"),
    ];
    let error = Provider::new(Variables::from(variables))
        .credentials()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(r#"profile "work": role_arn is not supported"#),
        "{error}"
    );
}

#[test]
fn a_containers_endpoint_is_asked_with_its_token() {
    let (base, heads) = serve(|_| (200, reply("C", FAR)));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, "from-file\n").unwrap();
    let url = format!("{base}/v4/creds");
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str());
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "from-variable");
    let token_file = (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        file.to_str().unwrap(),
    );
    let provider = Provider::new(Variables::from([full, token, token_file]));
    assert_eq!(provider.credentials().unwrap().access_key_id, "C");
    // They are good for long: nobody is asked again, until AWS says otherwise.
    provider.credentials().unwrap();
    assert_eq!(heads.lock().unwrap().len(), 1);
    provider.forget();
    provider.credentials().unwrap();
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 2);
    assert!(
        heads[0].starts_with("GET /v4/creds HTTP/1.1\r\n"),
        "{}",
        heads[0]
    );
    assert!(
        heads[0].contains("authorization: from-file\r\n"),
        "{}",
        heads[0]
    );
}

#[test]
fn credentials_are_fetched_anew_before_they_end() {
    let count = Mutex::new(0);
    let soon = Time::now().whole_second().to_string();
    let soon = soon.replace('Z', ".999999999Z");
    let (base, heads) = serve(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        (
            200,
            reply(&format!("C{count}"), if *count == 1 { &soon } else { FAR }),
        )
    });
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", base.as_str());
    let provider = Provider::new(Variables::from([full]));
    assert_eq!(provider.credentials().unwrap().access_key_id, "C1");
    assert_eq!(provider.credentials().unwrap().access_key_id, "C2");
    assert_eq!(provider.credentials().unwrap().access_key_id, "C2");
    assert_eq!(heads.lock().unwrap().len(), 2);
}

#[test]
fn a_key_is_not_asked_of_strangers_in_the_open() {
    for (url, fits) in [
        ("http://192.0.2.1/creds", false),
        ("http://169.254.170.3/creds", false),
        ("http://169.254.170.2.example/creds", false),
        ("http://127.0.0.1:1/creds", true),
    ] {
        let variables = Variables::from([("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
        let error = Provider::new(variables).credentials().unwrap_err();
        assert_eq!(matches!(error, Error::Variable { .. }), !fits, "{error}");
    }
}

#[test]
fn an_instance_is_asked_for_a_token_and_its_role() {
    let (base, heads) = serve(|head| match head.split(' ').nth(1).unwrap() {
        "/latest/api/token" => (200, "the-token".into()),
        "/latest/meta-data/iam/security-credentials/" => (200, "role".into()),
        "/latest/meta-data/iam/security-credentials/role" => (200, reply("I", FAR)),
        _ => (404, String::new()),
    });
    let endpoint = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", base.as_str());
    let found = Provider::new(Variables::from([endpoint]))
        .credentials()
        .unwrap();
    assert_eq!(found.access_key_id, "I");
    {
        let heads = heads.lock().unwrap();
        assert!(heads[0].starts_with("PUT "), "{}", heads[0]);
        assert!(
            heads[2].contains("x-aws-ec2-metadata-token: the-token\r\n"),
            "{}",
            heads[2]
        );
    }
    let disabled = Variables::from([endpoint, ("AWS_EC2_METADATA_DISABLED", "true")]);
    let error = Provider::new(disabled).credentials().unwrap_err();
    assert!(matches!(error, Error::NoCredentials { .. }), "{error}");
    assert_eq!(heads.lock().unwrap().len(), 3);
}

#[test]
fn another_host_learns_no_token_of_an_endpoint() {
    let (stranger, seen) = serve(|_| (404, String::new()));
    let elsewhere = stranger.clone();
    let (base, _heads) = serve(move |head| match head.split(' ').nth(1).unwrap() {
        "/latest/api/token" => (200, "the-token".into()),
        _ => (302, elsewhere.clone()),
    });
    let endpoint = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", base.as_str());
    let found = Provider::new(Variables::from([endpoint])).credentials();
    assert!(found.is_err());
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the-token");
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", base.as_str());
    let found = Provider::new(Variables::from([full, token])).credentials();
    assert!(found.is_err());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter().all(|head| !head.contains("the-token")),
        "{seen:?}"
    );
}
