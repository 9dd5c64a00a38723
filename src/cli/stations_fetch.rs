//! `frostline stations fetch`: downloads NOAA's station files, and fills the station table with them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use frostline_engine::kafka::Admin;

use super::output::{BOLD, DIM};
use super::{Common, Failed, output, stations_import, topics};
use crate::config::Config;
use crate::sources::{Answer, Client, ClientSettings, Fetch, Fresh, Request};

const EXAMPLES: &str = "\
Examples:
  frostline stations fetch                      with [follow] contact = \"anna@example.org\" in frostline.toml
  frostline stations fetch --dir noaa           keep the files, for `rules check --stations` and back-tests

Fetches ghcnd-stations.txt, ghcnd-states.txt, ghcnd-countries.txt and the list
of hourly stations with their ICAO ids, makes the topics that do not exist
yet, and publishes all stations to noaa-stations.";

/// Largest file, compressed and uncompressed, in bytes: the list of stations has 11 MB.
const BYTES_MAX: usize = 256 << 20;
/// Time limit for one file.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The files in addition to the list of hourly stations.
const FILES: [&str; 3] = ["ghcnd-stations.txt", "ghcnd-countries.txt", "ghcnd-states.txt"];
const HOURLY: &str = "ghcnh-station-list.csv";

/// Fetch NOAA's station files, and fill the station table
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FetchArguments {
    /// Keep the files in this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) async fn fetch(common: &Common, arguments: &FetchArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    config.follow.check_contact()?;
    // Without a broker there is no need to fetch anything.
    let admin: Admin = topics::connect(&config).await?;
    topics::create_all(&config, &admin).await?;
    let temporary = tempfile::tempdir()?;
    let dir = arguments.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir)
        .map_err(|error| Failed::Usage(anyhow::anyhow!("--dir {}: {error}", dir.display())))?;
    let (urls, client) = (urls(&config), client(&config)?);
    let spinner = output::spinner();
    for (name, url) in &urls {
        spinner.set_message(format!("fetching {name}"));
        let (url, asked) = (url.clone(), client.clone());
        let got = tokio::task::spawn_blocking(move || get(&asked, &url)).await;
        let fresh = got.map_err(|error| Failed::Working(error.into()))??;
        write(&dir.join(name), &fresh.bytes)?;
        spinner.suspend(|| show(name, &fresh));
    }
    spinner.finish_and_clear();
    let file = |name: &str| dir.join(name);
    let [inventory, countries, states] = FILES.map(file);
    // Files that are not kept are named by their addresses.
    let name = |path: &Path| match urls.iter().find(|(name, _)| path == dir.join(name)) {
        Some((_, url)) if arguments.dir.is_none() => url.clone(),
        _ => path.display().to_string(),
    };
    stations_import::import(common, &inventory, (&countries, &states), Some(&file(HOURLY)), &name).await
}

fn urls(config: &Config) -> Vec<(&'static str, String)> {
    let files = &config.follow.stations;
    let base = files.url.trim_end_matches('/');
    let daily = FILES.into_iter().map(|name| (name, format!("{base}/{name}")));
    daily.chain([(HOURLY, files.hourly_url.clone())]).collect()
}

fn client(config: &Config) -> Result<std::sync::Arc<Client>, Failed> {
    // Four files once: a second between them is enough.
    let settings = ClientSettings {
        allow_private: config.follow.allow_private,
        path_interval: Duration::ZERO,
        timeout: TIMEOUT,
        ..ClientSettings::new(&config.follow.contact)
    };
    let client = Client::new(settings).map_err(|reason| Failed::Usage(anyhow::anyhow!(reason)))?;
    Ok(std::sync::Arc::new(client))
}

fn get(client: &Client, url: &str) -> anyhow::Result<Fresh> {
    match client.get(&Request::text(url, BYTES_MAX, BYTES_MAX))? {
        Answer::New(fresh) => Ok(fresh),
        Answer::NotFound => {
            anyhow::bail!("{url}: not found (404): check [follow.stations] in the configuration")
        }
        Answer::Unchanged { .. } | Answer::NotDue(_) => {
            anyhow::bail!("{url}: the service sent nothing; try again later")
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let written = std::fs::write(path, bytes);
    written.map_err(|error| Failed::Working(anyhow::anyhow!("{} cannot be written: {error}", path.display())))
}

/// Size and age of a file.
fn show(name: &str, fresh: &Fresh) {
    let modified = fresh.validators.last_modified.as_deref();
    let modified = modified.and_then(|text| httpdate::parse_http_date(text).ok());
    let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
    let age = match age.map(|age| age.as_secs() / 3_600) {
        Some(hours @ 0..48) => format!("{hours} hours old"),
        Some(hours) => format!("{} days old", hours / 24),
        None => "of unknown age".to_owned(),
    };
    let kilobytes = output::grouped(fresh.bytes.len() as u64 / 1_000);
    output::note(&format!("{BOLD}{name}{BOLD:#}  {kilobytes} kB  {DIM}{age}{DIM:#}"));
}
