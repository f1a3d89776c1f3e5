//! The server over real connections, with a source that is made up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use serve::{
    Counts, FitAsked, FitView, Group, Guard, Listing, Row, Source, SourceError, State, Sweep,
    SweepSummary, Token, TrialView,
};
use spec::{Id, SegmentId, TrialId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const HOSTILE: &str = "</script><script>alert(1)</script> ' or 1=1 --/../";

/// One sweep of three trials, of which the first `finished` have finished.
#[derive(Clone, Default)]
struct MadeUp {
    finished: Arc<AtomicU64>,
    gone: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
    asked: Arc<Mutex<Vec<FitAsked>>>,
}

impl MadeUp {
    fn row(&self, i: u64) -> Row {
        let is_finished = i < self.finished.load(Ordering::SeqCst);
        Row {
            id: TrialId(Id::of(&i)),
            group: 0,
            unique_examples: 64,
            examples_seen: 640 << i,
            steps: Some(80 << i),
            train_flops: 1e9,
            learning_rate: Some(1e-3),
            seed: Some(i),
            state: if is_finished { State::Finished } else { State::Running },
            device_s: is_finished.then_some(1.5),
            values: vec![is_finished.then_some(0.25)],
        }
    }
}

impl Source for MadeUp {
    async fn version(&self) -> Result<u64, SourceError> {
        match self.gone.load(Ordering::SeqCst) {
            0 => Ok(self.finished.load(Ordering::SeqCst)),
            _ => Err(SourceError::Unavailable("the store is gone".into())),
        }
    }

    async fn listing(&self) -> Result<Listing, SourceError> {
        let finished = self.finished.load(Ordering::SeqCst);
        let sweep = SweepSummary {
            name: HOSTILE.into(),
            trials: Counts { finished, running: 3 - finished, ..Counts::default() },
            train_flops_planned: 3e9,
            train_flops_spent: 1e9,
            charged_s: 2.0,
            attempts: 3,
        };
        Ok(Listing { store: "made-up.db".into(), sweeps: vec![sweep] })
    }

    async fn sweep(&self, name: &str) -> Result<Sweep, SourceError> {
        if name != HOSTILE {
            return Err(SourceError::Unknown(format!("no sweep `{name}`")));
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        let group = Group { shape: "a".into(), family: "vit".into(), variant: None, params: 10 };
        Ok(Sweep {
            source: "# Question".into(),
            metrics: vec!["val_error".into()],
            groups: vec![group],
            rows: (0..3).map(|i| self.row(i)).collect(),
        })
    }

    async fn fit(&self, _: &str, asked: FitAsked) -> Result<FitView, SourceError> {
        self.asked.lock().unwrap().push(asked);
        Ok(FitView::default())
    }

    async fn trial(&self, id: TrialId) -> Result<TrialView, SourceError> {
        let Row { group: _, id: known, unique_examples, examples_seen, steps, .. } = self.row(0);
        if id != known {
            return Err(SourceError::Unknown("no such trial".into()));
        }
        Ok(TrialView {
            id,
            shape: "a".into(),
            family: "vit".into(),
            params: 10,
            unique_examples,
            examples_seen,
            steps,
            train_flops: 1e9,
            learning_rate: Some(1e-3),
            seed: Some(0),
            device_s: None,
            sweeps: Vec::new(),
            values: BTreeMap::new(),
            curves: BTreeMap::new(),
            attempts: Vec::new(),
            spec: "{}".into(),
        })
    }

    async fn log(&self, _: TrialId, _: SegmentId, attempt: u32) -> Result<String, SourceError> {
        Ok(format!("<script>alert({attempt})</script>"))
    }
}

struct Server {
    address: SocketAddr,
    source: MadeUp,
}

impl Server {
    async fn start(token: Option<&Token>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, source) = (listener.local_addr().unwrap(), MadeUp::default());
        let guard = Guard::new(address, token.cloned()).unwrap();
        tokio::spawn(serve::serve(listener, source.clone(), guard));
        Self { address, source }
    }

    async fn connect(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Status, head and body of an answer to a request with these further lines.
    async fn ask(&self, request: &str, lines: &str) -> (u16, String, String) {
        let head =
            format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
        let mut answer = Vec::new();
        self.connect(&head).await.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.ask(&format!("GET {path}"), "").await;
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

/// An open stream of events.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    async fn open(server: &Server, query: &str, lines: &str) -> Self {
        let head = format!("GET /api/events?{query} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        Self { stream: server.connect(&head).await, text: String::new() }
    }

    /// Reads on until the stream has said this.
    async fn until(&mut self, wanted: &str) -> String {
        let reading = async {
            while !self.text.contains(wanted) {
                let mut part = [0; 4096];
                let n = self.stream.read(&mut part).await.unwrap();
                assert!(n > 0, "the stream ended: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&part[..n]));
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), reading).await;
        assert!(waited.is_ok(), "`{wanted}` did not come: {}", self.text);
        std::mem::take(&mut self.text)
    }
}

/// A path segment in which everything but letters is escaped.
fn escaped(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn the_page_comes_with_its_policy_and_is_not_sent_twice() {
    let server = Server::start(None).await;
    let (status, head, body) = server.ask("GET /", "").await;
    assert_eq!(status, 200);
    assert!(body.contains("<title>isoflop</title>"));
    for header in [
        "content-security-policy: default-src 'none'",
        "nosniff",
        "x-frame-options: deny",
        "no-referrer",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let (status, _, body) = server.ask("GET /", &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!((status, body.as_str()), (304, ""));
    let (status, head, _) = server.ask("GET /assets/uplot.js", "").await;
    assert!(status == 200 && head.contains("text/javascript"), "{head}");
}

#[tokio::test]
async fn a_sweep_of_any_name_is_found_and_stays_text() {
    let server = Server::start(None).await;
    let (status, listing) = server.get("/api/sweeps").await;
    assert_eq!((status, &listing["sweeps"][0]["name"]), (200, &HOSTILE.into()));
    let (status, sweep) = server.get(&format!("/api/sweeps/{}", escaped(HOSTILE))).await;
    assert_eq!((status, sweep["trials"]["columns"]["seed"].as_array().unwrap().len()), (200, 3));
    let (_, head, _) = server.ask("GET /api/sweeps", "").await;
    assert!(head.contains("application/json") && head.contains("no-store"), "{head}");
}

#[tokio::test]
async fn what_leads_out_of_the_list_of_files_leads_nowhere() {
    let server = Server::start(None).await;
    for path in [
        "/assets/../Cargo.toml",
        "/assets/..%2F..%2FCargo.toml",
        "/assets/%2Fetc%2Fpasswd",
        "/assets//etc/passwd",
        "/assets/index.html%00",
        "/assets/vendor/uplot/LICENSE",
        "/../../../../etc/passwd",
        "/etc/passwd",
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 404, "{path}: {body}");
    }
}

#[tokio::test]
async fn what_is_not_an_id_a_name_or_a_number_does_not_reach_the_source() {
    let server = Server::start(None).await;
    let trial = TrialId(Id::of(&0_u64)).to_string();
    let long = "a".repeat(600);
    for (path, expected) in [
        ("/api/trials/..%2F..%2Fetc%2Fpasswd".to_owned(), 404),
        (format!("/api/trials/{}", "0".repeat(32)), 404),
        ("/api/trials/1' or '1'='1".replace(' ', "%20"), 404),
        (format!("/api/trials/{trial}/logs/..%2F../1"), 404),
        (format!("/api/trials/{trial}/logs/{trial}/-1"), 400),
        (format!("/api/trials/{trial}/logs/{trial}/99999999999"), 400),
        ("/api/sweeps/none".to_owned(), 404),
        (format!("/api/sweeps/{long}"), 404),
        (format!("/api/sweeps/none/fit?y={long}"), 404),
        ("/api/sweeps/none/fit".to_owned(), 400),
        ("/api/sweeps/%FF%FE".to_owned(), 400),
        ("/api/nothing".to_owned(), 404),
    ] {
        let (status, said) = server.get(&path).await;
        assert_eq!(status, expected, "{path}: {said}");
        assert!(said["error"].is_string(), "{path}: {said}");
    }
    let (status, _) = server.get(&format!("/api/trials/{trial}")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_target_is_a_positive_number_or_refused() {
    let server = Server::start(None).await;
    for target in ["0", "-1", "nan", "inf", "1e99", "many", "1e18;drop table trial"] {
        let path = format!("/api/sweeps/a/fit?y=val_error&target={}", escaped(target));
        let (status, said) = server.get(&path).await;
        assert_eq!(status, 400, "{target}: {said}");
    }
    assert!(server.source.asked.lock().unwrap().is_empty());
    for target in ["1e18", "", "%201e18"] {
        assert_eq!(
            server.get(&format!("/api/sweeps/a/fit?y=val_error&target={target}")).await.0,
            200
        );
    }
    let targets: Vec<_> =
        server.source.asked.lock().unwrap().iter().map(|asked| asked.target).collect();
    assert_eq!(targets, [Some(1e18), None, Some(1e18)]);
}

#[tokio::test]
async fn a_log_is_plain_text_whatever_it_says() {
    let server = Server::start(None).await;
    let trial = TrialId(Id::of(&0_u64));
    let (status, head, body) =
        server.ask(&format!("GET /api/trials/{trial}/logs/{trial}/1"), "").await;
    assert_eq!((status, body.as_str()), (200, "<script>alert(1)</script>"));
    assert!(head.contains("text/plain") && head.contains("nosniff"), "{head}");
}

#[tokio::test]
async fn changes_arrive_and_are_read_once_however_many_watch() {
    let server = Server::start(None).await;
    let path = format!("/api/sweeps/{}", escaped(HOSTILE));
    let mark = server.get(&path).await.1["trials"]["mark"].as_str().unwrap().to_owned();
    let query = format!("sweep={}&since={mark}", escaped(HOSTILE));
    let mut watchers = Vec::new();
    for _ in 0..5 {
        watchers.push(Events::open(&server, &query, "").await);
    }
    for events in &mut watchers {
        events.until("event: sweeps").await;
    }
    server.source.finished.store(1, Ordering::SeqCst);
    for events in &mut watchers {
        let told = events.until(r#""rows":[[0,2,1.5,[0.25]]]"#).await;
        assert!(told.contains("event: trials"), "{told}");
    }
    assert_eq!(server.source.reads.load(Ordering::SeqCst), 2);
    // Who comes back says what it has seen, and is told the rest.
    server.source.finished.store(2, Ordering::SeqCst);
    let plan = mark.split_once('-').unwrap().0;
    let mut again = Events::open(&server, &query, &format!("Last-Event-ID: {plan}-1\r\n")).await;
    let told = again.until(r#""rows":[[1,2,1.5,[0.25]]]"#).await;
    assert!(told.contains("event: trials"), "{told}");
}

#[tokio::test]
async fn who_saw_another_server_begins_anew() {
    let server = Server::start(None).await;
    for since in ["12-3", "nonsense", ""] {
        let query = format!("sweep={}&since={since}", escaped(HOSTILE));
        Events::open(&server, &query, "").await.until("event: reset").await;
    }
}

#[tokio::test]
async fn a_store_that_goes_away_is_said_and_so_is_that_it_is_back() {
    let server = Server::start(None).await;
    let mut events = Events::open(&server, &format!("sweep={}", escaped(HOSTILE)), "").await;
    events.until("event: reset").await;
    server.source.gone.store(1, Ordering::SeqCst);
    events.until("the store is gone").await;
    assert_eq!(server.get("/api/sweeps").await.0, 503);
    server.source.gone.store(0, Ordering::SeqCst);
    events.until("event: sweeps").await;
}

#[tokio::test]
async fn what_is_wrong_with_a_sweep_is_said_once_and_not_taken_back() {
    let server = Server::start(None).await;
    let mut events = Events::open(&server, "sweep=none", "").await;
    events.until("no sweep `none`").await;
    let more = tokio::time::timeout(Duration::from_secs(2), events.until("event: ")).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn only_the_token_opens_a_page_that_has_one() {
    let token = Token::random().unwrap();
    let server = Server::start(Some(&token)).await;
    for path in ["/", "/api/sweeps", "/assets/main.js", "/api/events", "/?token=0"] {
        let (status, head, body) = server.ask(&format!("GET {path}"), "").await;
        assert_eq!(status, 401, "{path}");
        assert!(head.contains("content-security-policy") && !body.contains(&token.to_string()));
    }
    let (status, head, _) = server.ask(&format!("GET /?token={token}"), "").await;
    assert_eq!(status, 303);
    assert!(head.contains("location: /\r\n") && head.contains("httponly; samesite=lax"), "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(server.ask("GET /api/sweeps", &format!("Cookie: {cookie}\r\n")).await.0, 200);
    assert_eq!(
        server.ask("GET /api/sweeps", &format!("Authorization: Bearer {token}\r\n")).await.0,
        200
    );
}

#[tokio::test]
async fn a_foreign_name_and_a_writing_method_are_refused() {
    let server = Server::start(None).await;
    let head = "GET /api/sweeps HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    server.connect(head).await.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(server.ask(&format!("{method} /api/sweeps"), "").await.0, 405, "{method}");
    }
}
