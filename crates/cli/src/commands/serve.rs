//! `isoflop serve`: the live page of a store.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use serve::{Guard, Token};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{ALL_DONE, bad_input};
use crate::live::StoreSource;

/// Show a store in the browser, as it fills: scaling curves, trials, learning curves, logs
///
/// Prints the page's address and answers until it is interrupted. The store is opened read-only, and a
/// sweep that writes to it is never held up. On this machine's own address anyone on the machine may
/// look; at any other address the printed one has a token in it, and without that nothing is shown.
/// From afar, `ssh -L 8642:localhost:8642 HOST` needs no other address.
#[derive(clap::Args)]
pub struct ServeArgs {
    /// Port; 0 takes one that is free
    #[arg(long, value_name = "N", default_value_t = 8642)]
    port: u16,

    /// Address to listen at; 0.0.0.0 is every address of this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,

    /// Ask for a token on this machine's own address too: where others use the machine
    #[arg(long)]
    token: bool,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    db: PathBuf,
}

pub async fn serve(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let source = StoreSource::open(&args.db).await?;
    let listener = listen(SocketAddr::new(args.bind, args.port)).await?;
    let address = listener.local_addr()?;
    let needs_token = args.token || !args.bind.is_loopback();
    let token = needs_token.then(Token::random).transpose()?;
    let guard = Guard::new(address, token.clone())?;
    // Before the address is told: whoever has it may end the server.
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    writeln!(std::io::stdout(), "{}", page(address, token.as_ref()))?;
    std::io::stdout().flush()?;
    tokio::select! {
        ended = serve::serve(listener, source, guard) => ended.context("the server ended")?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(ExitCode::from(ALL_DONE))
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => bad_input(anyhow!(
            "{address} is in use, by another `isoflop serve` perhaps; --port takes another, --port 0 a free one"
        )),
        ErrorKind::AddrNotAvailable => {
            bad_input(anyhow!("{} is no address of this machine; see --bind", address.ip()))
        }
        ErrorKind::PermissionDenied => {
            bad_input(anyhow!("port {} is not allowed; --port takes another", address.port()))
        }
        _ => anyhow!(error).context(format!("cannot listen at {address}")),
    })
}

/// The page's address, as it can be opened.
fn page(address: SocketAddr, token: Option<&Token>) -> String {
    let address = if address.ip().is_unspecified() {
        format!("{}:{}", name_of_this_machine(), address.port())
    } else {
        address.to_string()
    };
    token.map_or_else(
        || format!("http://{address}/"),
        |token| format!("http://{address}/?token={token}"),
    )
}

fn name_of_this_machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
