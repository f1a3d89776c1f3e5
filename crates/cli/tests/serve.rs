//! `isoflop serve` as people meet it: the program itself, over a store that a sweep is filling, and in a
//! real browser where there is one (`make setup-browser`).

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, text};
use serde_json::Value;

/// Five lengths and two sizes: enough for a forecast.
const SWEEP: &str = r#"
# Question   Does the page show points as they land?
name = "pretend"
seeds = [0, 1]
[data]
source = "procedural"
classes = 8
[model]
family = "vit"
patch = 16
shapes = [
    { width = 8, depth = 1, mlp = 32, heads = 1 },
    { width = 16, depth = 2, mlp = 64, heads = 1 },
]
[axes]
unique_examples = [1024, 65536]
examples_seen = [16000, 32000, 64000, 128000, 256000]
[train]
batch = 16
learning_rate = 3e-3
schedule = { decay = "constant", warmup = 10, cooldown = 0.2 }
"#;

const HOSTILE: &str = "<script>window.harmed=1</script><img src=x onerror=window.harmed=1>";

fn place() -> Place {
    let place = Place::new("fake-trainer");
    std::fs::write(place.path("sweep.toml"), SWEEP).unwrap();
    place
}

fn swept() -> Place {
    let place = place();
    place.stdout(&["sweep", "sweep.toml", "--devices", "cpu:2"], 0);
    place
}

/// A server that ends with the test.
struct Server {
    process: Child,
    /// The page's address, as it was printed.
    page: String,
}

impl Server {
    fn start(place: &Place, args: &[&str]) -> Self {
        let args = [&["serve", "--port", "0"][..], args].concat();
        let mut process = place.command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut page = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut page).unwrap();
        assert!(page.starts_with("http://"), "{page}");
        Self { process, page: page.trim().to_owned() }
    }

    fn port(&self) -> u16 {
        let rest = self.page.trim_start_matches("http://").split('/').next().unwrap();
        rest.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn ask(&self, path: &str, lines: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = text(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask(path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for something to become true.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_store_is_told_as_the_other_commands_tell_it() {
    let place = swept();
    let server = Server::start(&place, &[]);
    let listing = server.json("/api/sweeps");
    assert_eq!(listing["store"], "isoflop.db");
    assert_eq!(listing["sweeps"][0]["trials"]["finished"], 40);
    let told = server.json("/api/sweeps/pretend");
    assert!(told["source"].as_str().unwrap().contains("# Question"));
    let columns = &told["trials"]["columns"];
    let rows = place.query("select trial_id, val_error, params from trial_result join sweep_trial using (sweep, trial_id) order by position");
    assert_eq!(rows.len(), 40);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(columns["id"][i], row["trial_id"]);
        assert_eq!(told["trials"]["values"]["val_error"][i], row["val_error"]);
        let group = usize::try_from(columns["group"][i].as_u64().unwrap()).unwrap();
        assert_eq!(told["trials"]["groups"][group]["params"], row["params"]);
    }
    let id = columns["id"][3].as_str().unwrap();
    let trial = server.json(&format!("/api/trials/{id}"));
    assert_eq!(trial["sweeps"][0], serde_json::json!({ "sweep": "pretend", "state": 2 }));
    assert!(!trial["curves"]["val_loss"]["step"].as_array().unwrap().is_empty());
    let attempt = &trial["attempts"][0];
    let log = format!("/api/trials/{id}/logs/{}/1", attempt["segment"].as_str().unwrap());
    let file =
        place.path(&format!("results/attempts/{}/1/log.txt", attempt["segment"].as_str().unwrap()));
    std::fs::write(&file, "as it was\n").unwrap();
    assert_eq!(server.ask(&log, ""), (200, "as it was\n".to_owned()));
    assert_eq!(server.ask(&log.replace("/1", "/7"), "").0, 404);
}

#[test]
fn a_forecast_is_that_of_the_command_line() {
    let place = swept();
    let server = Server::start(&place, &[]);
    let fit = server.json("/api/sweeps/pretend/fit?y=val_error&target=1e15");
    let said = place.stdout(&["predict", "pretend", "--target", "1e15", "--format", "json"], 0);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said.to_string().contains(&fit["target"]["y"].to_string()), "{said} {}", fit["target"]);
    let band = &fit["forecast"];
    assert_eq!(band["x"].as_array().unwrap().last().unwrap().as_f64().unwrap().round(), 1e15);
    assert!(fit["laws"].as_array().is_some_and(|laws| !laws.is_empty()), "{fit}");
    let (status, body) = server.ask("/api/sweeps/pretend/fit?y=no_such", "");
    assert!(status == 400 && body.contains("it has val_error, val_loss"), "{status} {body}");
    let (status, body) = server.ask("/api/sweeps/none/fit?y=val_error", "");
    assert!(status == 404 && body.contains("it has pretend"), "{status} {body}");
}

#[test]
fn an_imported_sweep_is_forecast_and_a_variant_that_is_not_there_is_refused() {
    let place = swept();
    let rows = ["1e3,1e9,0.5", "2e3,2e9,0.4", "4e3,4e9,0.33", "8e3,8e9,0.28", "16e3,16e9,0.25"];
    let table = format!("params,train_flops,val_error\n{}\n", rows.join("\n"));
    std::fs::write(place.path("runs.csv"), table).unwrap();
    let import = ["--csv", "runs.csv", "--sweep", "theirs", "--examples-seen", "10 * params"];
    place.stdout(&[&["import"][..], &import].concat(), 0);
    let server = Server::start(&place, &[]);
    let told = server.json("/api/sweeps/theirs");
    assert_eq!(
        told["trials"]["columns"]["seed"],
        serde_json::json!([null, null, null, null, null])
    );
    let fit = server.json("/api/sweeps/theirs/fit?y=val_error&target=1e12");
    assert!(fit["n_points"] == 5 && fit["target"]["y"].is_f64(), "{fit}");
    let (status, body) = server.ask("/api/sweeps/theirs/fit?y=val_error&variant=none", "");
    assert!(status == 400 && body.contains("no variant `none`"), "{status} {body}");
}

#[test]
fn two_servers_have_two_ports_and_one_port_has_one_server() {
    let place = swept();
    let (first, second) = (Server::start(&place, &[]), Server::start(&place, &[]));
    assert_ne!(first.port(), second.port());
    assert_eq!(first.json("/api/sweeps"), second.json("/api/sweeps"));
    let output = place.output(&["serve", "--port", &first.port().to_string()]);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("is in use") && complaint.contains("--port 0"), "{complaint}");
}

#[test]
fn every_other_address_has_a_token() {
    let place = swept();
    let server = Server::start(&place, &["--bind", "0.0.0.0"]);
    let token = server.page.split_once("/?token=").expect("the printed address has a token").1;
    assert_eq!(server.ask("/api/sweeps", "").0, 401);
    assert_eq!(server.ask("/api/sweeps", &format!("Authorization: Bearer {token}\r\n")).0, 200);
    let output = place.output(&["serve", "--port", "0", "--bind", "203.0.113.7"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("no address of this machine"),
        "{}",
        text(&output.stderr)
    );
    assert!(Server::start(&place, &["--token"]).page.contains("/?token="));
}

#[test]
fn a_store_that_is_not_there_is_refused_and_one_that_goes_away_comes_back() {
    let place = swept();
    let output = place.output(&["serve", "--db", "none.db"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no store at `none.db`"), "{}", text(&output.stderr));
    let server = Server::start(&place, &[]);
    assert_eq!(server.json("/api/sweeps")["sweeps"].as_array().unwrap().len(), 1);
    let (results, aside) = (place.path("results"), place.path("aside"));
    std::fs::rename(&results, &aside).unwrap();
    let (status, body) = server.ask("/api/sweeps", "");
    assert!(status == 503 && body.contains("isoflop.db is gone"), "{status} {body}");
    // Another store in its place, with another sweep in it.
    let other = SWEEP.replace("\"pretend\"", "\"other\"");
    std::fs::write(place.path("other.toml"), other).unwrap();
    place.stdout(&["sweep", "other.toml", "--devices", "cpu:2"], 0);
    until("the new store", || server.ask("/api/sweeps/other", "").0 == 200);
    assert_eq!(server.json("/api/sweeps")["sweeps"][0]["name"], "other");
    assert_eq!(server.ask("/api/sweeps/pretend", "").0, 404);
}

#[test]
fn a_signal_ends_it_and_that_is_no_failure() {
    let place = swept();
    let mut server = Server::start(&place, &[]);
    let kill =
        Command::new("kill").args(["-INT", &server.process.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let mut status = None;
    until("the end", || {
        status = server.process.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
}

/// The driver and what it drives; None says by name what is skipped.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn browser(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/browser");
    let is_there = folder.join("node_modules/playwright-core").exists()
        && Path::new("/usr/bin/chromium").exists();
    if !is_there {
        eprintln!("skipped: {test}, for there is no browser; make setup-browser installs one");
        return None;
    }
    Some(folder.join("live.mjs"))
}

/// Plays a scene in the browser; what it saw.
fn play(driver: &Path, scene: &str, page: &str) -> Value {
    let mut command = Command::new("node");
    command.arg(driver).args([scene, page]);
    // Where a person wants to look at what the tests saw.
    if let Some(shots) = std::env::var_os("ISOFLOP_SHOTS") {
        command.arg(shots);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{scene}: {}{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_reader_zooms_opens_trials_compares_and_predicts() {
    let Some(driver) = browser("a_reader_zooms_opens_trials_compares_and_predicts") else { return };
    let place = swept();
    let server = Server::start(&place, &[]);
    assert_eq!(play(&driver, "look", &server.page)["points"], 40);
    play(&driver, "dark", &server.page);
    play(&driver, "phone", &server.page);
    play(&driver, "growing", &server.page);
    let other = SWEEP.replace("\"pretend\"", "\"other\"").replace("3e-3", "1e-3");
    std::fs::write(place.path("other.toml"), other).unwrap();
    place.stdout(&["sweep", "other.toml", "--devices", "cpu:2"], 0);
    play(&driver, "compare", &server.page);
}

#[test]
fn points_land_on_the_page_while_a_sweep_is_training() {
    let Some(driver) = browser("points_land_on_the_page_while_a_sweep_is_training") else { return };
    let place = place();
    let mut sweep = place.command(&["sweep", "sweep.toml", "--devices", "cpu:2"]);
    let mut sweep = sweep
        .env("FAKE_TRAINER_DELAY_MS", "500")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("a finished segment", || place.n_finished() > 0);
    let server = Server::start(&place, &["--token"]);
    let seen = play(&driver, "watch", &server.page);
    assert!(sweep.wait().unwrap().success());
    assert_eq!(seen["last"], 40, "{seen}");
    assert!(seen["then"].as_u64() < Some(40), "it was watched while it went on: {seen}");
}

#[test]
fn a_link_from_elsewhere_and_one_to_nothing_lead_on() {
    let Some(driver) = browser("a_link_from_elsewhere_and_one_to_nothing_lead_on") else { return };
    let place = swept();
    play(&driver, "linked", &Server::start(&place, &["--token"]).page);
    let server = Server::start(&place, &[]);
    play(&driver, "missing", &format!("{}#sweep=none", server.page));
}

#[test]
fn a_store_without_sweeps_shows_the_first_one_that_begins() {
    let test = "a_store_without_sweeps_shows_the_first_one_that_begins";
    let Some(driver) = browser(test) else { return };
    let place = swept();
    let db = place.path("results/isoflop.db");
    let empty = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('pragma foreign_keys = off')\n\
                 for table in ['sweep', 'sweep_trial', 'trial_segment', 'provenance', 'fit']: c.execute(f'delete from {table}')\n\
                 c.commit()";
    let done = Command::new("python3").args(["-c", empty]).arg(&db).status().unwrap();
    assert!(done.success());
    let server = Server::start(&place, &[]);
    let sweeping = std::thread::scope(|scope| {
        let playing = scope.spawn(|| play(&driver, "empty", &server.page));
        std::thread::sleep(Duration::from_secs(6));
        place.stdout(&["sweep", "sweep.toml", "--devices", "cpu:2"], 0);
        playing.join()
    });
    assert!(sweeping.is_ok());
}

#[test]
fn a_sweeps_name_is_never_markup() {
    let Some(driver) = browser("a_sweeps_name_is_never_markup") else { return };
    let place = swept();
    rename_to_hostile(&place);
    let server = Server::start(&place, &[]);
    play(&driver, "hostile", &server.page);
}

/// A sweep file refuses such a name; another program that writes to the store may not.
fn rename_to_hostile(place: &Place) {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('pragma foreign_keys = off')\n\
                  for table, column in [('sweep', 'name'), ('sweep_trial', 'sweep'), ('trial_segment', 'sweep')]:\n \
                  c.execute(f'update {table} set {column} = ?', [sys.argv[2]])\n\
                  c.execute('update trial set shape = ?', [sys.argv[2]])\n\
                  c.commit()";
    let done = Command::new("python3")
        .args(["-c", script])
        .arg(place.path("results/isoflop.db"))
        .arg(HOSTILE)
        .status();
    assert!(done.unwrap().success());
}
