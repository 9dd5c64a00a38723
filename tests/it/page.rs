//! The page in a real browser, with all stations and a daemon at work.

use std::time::{Duration, Instant};

use fantoccini::Locator;
use frostline::noaa::Date;
use serde_json::{Value, json};

use crate::accessibility;
use crate::evening::Evening;
use crate::page_tonight;
use crate::support::{Browser, HttpServer, Needs, Test, Topics, free_port, http_get, test, wait_for};

const REAL: &[Needs] = &[Needs::Broker, Needs::Data, Needs::Browser, Needs::MailServer];
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    vec![test("the_page_in_a_browser", REAL, the_page)]
}

/// The rules of the page: one with episodes, one whose texts try to be more than text.
fn rules() -> String {
    let frost = "[[rule]]\nid = \"frost\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\nclear = \"TMIN > 3.0\"\n\
                 severity = \"critical\"\nsubscribers = [\"barn\"]\n";
    let hostile = "[[rule]]\nid = \"hostile\"\nwhere = \"station.state_code == 'AZ'\"\nwhen = \"TMIN <= -20.0\"\n\
                   message = \"<img src=x onerror=alert(1)>\"\n";
    format!("[[subscriber]]\nid = \"barn\"\nwebhook = \"barn\"\n{frost}{hostile}")
}

fn observation(station: &str, name: &str, day: i32, tmin: f64) -> String {
    let date = Date::from_days_since_1970(20_000 + day).unwrap();
    json!({
        "station": { "id": station, "name": name, "country_code": "US", "state_code": "AZ",
                     "location": { "lat": 33.6, "lon": -111.9 } },
        "date": format!("{date}T00:00:00"), "TMIN": tmin, "TMAX": tmin + 13.5,
    })
    .to_string()
}

fn the_page() {
    let (topics, hook) = (Topics::create(), HttpServer::start());
    topics.import_stations("ghcnd-stations.txt.gz");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), rules()).unwrap();
    let config = format!(
        "[notify]\ngroup_wait_ms = 0\nmax_age_days = 100000\n[notify.webhooks.barn]\nurl = \"{}\"\nsecret = \"s\"\nallow_private = true\n",
        hook.url("/")
    );
    std::fs::write(dir.path().join("frostline.toml"), config).unwrap();
    let port = free_port();
    let daemon = topics
        .frostline()
        .args(["run", "--stages", "assemble,filter,alert,outlook,notify,deliver"])
        .env("FROSTLINE_ADMIN_LISTEN", &format!("127.0.0.1:{port}"))
        .in_dir(dir.path())
        .start();
    wait_for("the daemon", PATIENCE, || {
        http_get(port, "/health/ready", &[]).filter(|(status, body)| *status == 200 && body.contains(":30,"))
    });
    let send = |value: &str| topics.send("noaa-json", &[(Some(b"USW00003192"), Some(value.as_bytes()))]);
    (0..40).for_each(|day| {
        send(&observation("USW00003192", "SCOTTSDALE MUNI AP", day, 8.0 - f64::from(day) / 10.0))
    });
    let evening = Evening::now();
    evening.send(&topics);
    topics.send("noaa-csv-raw", &[(Some(b"USW00003192"), Some(b"USW00003192,<script>alert(1)</script>"))]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(look(port, &send, &evening));
    daemon.signal("TERM");
    daemon.wait().expect_code(0);
}

async fn look(port: u16, send: &dyn Fn(&str), evening: &Evening) {
    let browser = Browser::start().await;
    let client = &browser.client;
    client.goto(&format!("http://127.0.0.1:{port}/")).await.unwrap();
    let data = async |name: &str| -> Value {
        client
            .execute(&format!("return document.documentElement.dataset.{name} ?? null"), vec![])
            .await
            .unwrap()
    };
    until("the page", async || (data("ready").await == "true").then_some(())).await;
    assert_eq!(data("mapStations").await, "128024");
    println!("128,024 stations drawn in {} ms", data("mapDrawMs").await.as_str().unwrap());
    client.wait().for_element(Locator::Css("#stream[data-state=live]")).await.unwrap();

    // A frost comes in while somebody looks.
    let started = Instant::now();
    send(&observation("USW00003192", "SCOTTSDALE MUNI AP", 40, -2.5));
    let date = Date::from_days_since_1970(20_040).unwrap();
    let row = format!("#alerts-list [data-alert-id='frost/USW00003192/{date}/fired']");
    let row = client.wait().at_most(PATIENCE).for_element(Locator::Css(&row)).await.unwrap();
    println!("an alert was on the page {:?} after its observation was sent", started.elapsed());
    let text = row.text().await.unwrap();
    assert!(text.contains("SCOTTSDALE MUNI AP") && text.contains("-2.5 °C"), "{text}");

    // Its station with its chart.
    row.find(Locator::Css("button")).await.unwrap().click().await.unwrap();
    // The panel is drawn again when something new is known of its station: each look at it is one script.
    until("the chart and its table", async || {
        let found = client
            .execute(
                "return [document.querySelector('#station svg.chart')?.getAttribute('aria-label') ?? '', \
                 document.querySelectorAll('#station details.values tbody tr').length]",
                vec![],
            )
            .await
            .unwrap();
        let (label, days) = (found[0].as_str().unwrap(), found[1].as_u64().unwrap());
        (label.contains("TMIN and TMAX") && days >= 30).then_some(())
    })
    .await;

    until("the newest day in the panel", async || {
        let text = client.find(Locator::Css("#station")).await.unwrap().text().await.unwrap();
        text.contains(&format!("TMIN of {date}")).then_some(())
    })
    .await;

    units(client).await;

    // A dead letter opens, and stays text.
    let letter =
        client.wait().at_most(PATIENCE).for_element(Locator::Css("#dead-list details")).await.unwrap();
    assert!(letter.text().await.unwrap().contains("2 fields instead of 8"));
    letter.find(Locator::Css("summary")).await.unwrap().click().await.unwrap();
    let shown = letter.text().await.unwrap();
    assert!(shown.contains("<script>alert(1)</script>"), "{shown}");

    // Rules, and what became of the message.
    let filter = client.find(Locator::Css("#rules-filter")).await.unwrap();
    filter.send_keys("hostile").await.unwrap();
    until("the filter", async || {
        let text = client.find(Locator::Css("#rules-list")).await.unwrap().text().await.unwrap();
        (text.contains("hostile") && !text.contains("TMIN <= 0.0")).then_some(())
    })
    .await;
    until("the delivery", async || {
        let text = client.find(Locator::Css("#deliveries-list")).await.unwrap().text().await.unwrap();
        (text.contains("subscriber/barn") && text.contains("webhook")).then_some(())
    })
    .await;
    filter.clear().await.unwrap();
    let stages = client.find(Locator::Css("#flow")).await.unwrap().text().await.unwrap();
    assert!(
        ["assemble", "filter", "alert", "notify", "deliver"].iter().all(|stage| stages.contains(stage)),
        "{stages}"
    );

    screenshots(&browser).await;
    page_tonight::look(&browser, port, evening).await;
    let console = browser.log("browser").await;
    let errors: Vec<&Value> = console.iter().filter(|entry| entry["level"] == "SEVERE").collect();
    assert!(errors.is_empty(), "{errors:?}");
    let own = format!("http://127.0.0.1:{port}/");
    for url in requests(&browser.log("performance").await) {
        assert!(url.starts_with(&own) || url.starts_with("data:"), "asked elsewhere: {url}");
    }
    browser.client.clone().close().await.unwrap();
}

/// One switch changes the units of everything that is shown.
async fn units(client: &fantoccini::Client) {
    let choose = async |unit: &str| {
        client.find(Locator::Css(&format!("#unit-{unit}"))).await.unwrap().click().await.unwrap();
    };
    choose("f").await;
    for (css, wanted) in [
        ("#station .latest b", "27.5 °F"),
        ("#station .chart-box .readout", "°F"),
        ("#station .chart .frost-name", "32 °F"),
        ("#station .station-facts", " ft"),
        ("#alerts-list .value", "27.5 °F"),
        ("#legend .unit", "°F"),
    ] {
        page_tonight::text_with(client, css, wanted).await;
    }
    choose("c").await;
    page_tonight::text_with(client, "#station .latest b", "−2.5 °C").await;
    let suggested = "const done = arguments[0]; import('./units.js').then(({ unitFor }) => \
                     done(['en-US', 'en-GB', 'de', 'nonsense-'].map(unitFor).join('')))";
    let suggested = client.execute_async(suggested, vec![]).await.unwrap();
    assert_eq!(suggested, "FCCC");
}

/// Phone width, dark and light. With `FROSTLINE_SCREENSHOTS=DIR` they are kept.
async fn screenshots(browser: &Browser) {
    let client = &browser.client;
    let keep = std::env::var_os("FROSTLINE_SCREENSHOTS").map(std::path::PathBuf::from);
    for (name, width, height, theme) in
        [("page", 1440, 1100, "light"), ("page-dark", 1440, 1100, "dark"), ("page-phone", 400, 860, "light")]
    {
        client.set_window_size(width, height).await.unwrap();
        let script = format!(
            "if (matchMedia('(prefers-color-scheme: dark)').matches ? '{theme}' === 'light' : '{theme}' === 'dark') {{ \
             if (document.documentElement.dataset.theme !== '{theme}') document.getElementById('theme').click(); }} \
             else if (document.documentElement.dataset.theme && document.documentElement.dataset.theme !== '{theme}') \
             document.getElementById('theme').click(); window.scrollTo(0, 0);"
        );
        client.execute(&script, vec![]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        let wide =
            client.execute("return document.documentElement.scrollWidth - innerWidth", vec![]).await.unwrap();
        assert!(wide.as_i64().unwrap() <= 0, "{name}: {wide} pixels too wide");
        accessibility::check(client, name).await;
        if let Some(dir) = &keep {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join(format!("{name}.png")), client.screenshot().await.unwrap()).unwrap();
        }
    }
}

/// The addresses that the page has asked for.
fn requests(log: &[Value]) -> Vec<String> {
    let url = |entry: &Value| {
        let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
        let message = &message["message"];
        (message["method"] == "Network.requestWillBeSent")
            .then(|| message["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
    };
    let urls: Vec<String> = log.iter().filter_map(url).collect();
    assert!(urls.len() > 10, "the network was not logged: {urls:?}");
    urls
}

/// Looks again and again until something is found.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
