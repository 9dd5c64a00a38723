// The daemon's answers: JSON by GET, and the endless stream of events.

const TOKEN_KEY = 'frostline-token';
const TIMEOUT_MS = 30_000;
const BACKOFF_MS = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
// The stages come once a second, so a stream that is silent for this long is a dead connection.
const SILENCE_MS = 20_000;
// No event is this long; without the limit a stream without line ends would fill the memory.
const EVENT_LENGTH_MAX = 32 * 1024 * 1024;

let token = sessionStorage.getItem(TOKEN_KEY);
let asking = null;

function askForToken(wasWrong) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById('token');
    const input = document.getElementById('token-input');
    document.getElementById('token-wrong').hidden = !wasWrong;
    const submit = (event) => {
      event.preventDefault();
      token = input.value.trim();
      if (!token) return;
      sessionStorage.setItem(TOKEN_KEY, token);
      input.value = '';
      dialog.close();
    };
    const keepOpen = (event) => event.preventDefault();
    const form = document.getElementById('token-form');
    form.addEventListener('submit', submit);
    dialog.addEventListener('cancel', keepOpen);
    dialog.addEventListener('close', () => {
      form.removeEventListener('submit', submit);
      dialog.removeEventListener('cancel', keepOpen);
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** A request with the token; a 401 asks for another and tries again. A header may hold only visible ASCII. */
async function request(path, accept, signalOfTry) {
  for (;;) {
    const used = token;
    const headers = { Accept: accept };
    if (used) headers.Authorization = `Bearer ${used.replace(/[^\x21-\x7e]/g, '')}`;
    const answer = await fetch(`api/v1/${path}`, { headers, signal: signalOfTry(), cache: 'no-store' });
    if (answer.status !== 401) return answer;
    if (used === token) await askForToken(Boolean(used));
  }
}

async function failure(answer) {
  const body = await answer.json().catch(() => null);
  return new Error(typeof body?.error === 'string' ? body.error : `the daemon answered ${answer.status}`);
}

/** What stopped a request, in words: browsers' own differ, and say little. */
function inWords(error) {
  if (error.name === 'TimeoutError') return new Error('the daemon took too long to answer');
  return error instanceof TypeError ? new Error('the daemon does not answer') : error;
}

export async function get(path) {
  try {
    const answer = await request(path, 'application/json', () => AbortSignal.timeout(TIMEOUT_MS));
    if (!answer.ok) throw await failure(answer);
    return await answer.json();
  } catch (error) {
    throw inWords(error);
  }
}

/** Takes the text of a stream piece by piece, and calls onEvent(name, data) for each whole event. */
export function eventParser(onEvent) {
  let rest = '';
  let name = 'message';
  let data = [];
  const line = (text) => {
    if (text === '') {
      if (data.length) onEvent(name, data.join('\n'));
      name = 'message';
      data = [];
      return;
    }
    const colon = text.indexOf(':');
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? '' : text.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') name = value;
    if (field === 'data') data.push(value);
  };
  return (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop();
    if (rest.length > EVENT_LENGTH_MAX) throw new Error('an event is too long');
    for (const text of lines) line(text.endsWith('\r') ? text.slice(0, -1) : text);
  };
}

async function readStream(signal, alive, onEvent) {
  const answer = await request('events', 'text/event-stream', () => signal);
  if (!answer.ok) throw await failure(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const parse = eventParser(onEvent);
  alive();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    parse(value);
  }
}

/**
 * Follows the events indefinitely. onState gets {state: "connecting" | "live" | "waiting", seconds, again}; `again` says
 * that the stream was there before, so that something may have been missed.
 */
export function follow(onEvent, onState) {
  let failures = 0;
  let wasLive = false;
  let wake = () => {};

  const pause = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });

  const once = async () => {
    const connection = new AbortController();
    let watchdog = null;
    let isLive = false;
    const watch = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => connection.abort(), SILENCE_MS);
    };
    const alive = () => {
      watch();
      if (isLive) return;
      isLive = true;
      onState({ state: 'live', again: wasLive });
      wasLive = true;
    };
    const event = (name, data) => {
      failures = 0;
      let value;
      try { value = JSON.parse(data); } catch { return; }
      onEvent(name, value);
    };
    watch();
    try {
      await readStream(connection.signal, alive, event);
    } catch (error) {
      console.info('the stream of events ended:', error.message);
    } finally {
      clearTimeout(watchdog);
      connection.abort();
    }
  };

  const run = async () => {
    for (;;) {
      onState({ state: 'connecting', again: wasLive });
      await once();
      const base = BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)];
      failures += 1;
      // Many browsers must not reconnect at the same moment.
      const ms = base * (0.8 + Math.random() * 0.4);
      onState({ state: 'waiting', seconds: ms / 1000, again: wasLive });
      await pause(ms);
    }
  };
  run();
  addEventListener('online', () => wake());
  return { retryNow: () => wake() };
}
