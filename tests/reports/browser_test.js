// browser_test.js CHROMIUM PROFILE_DIR REPORT [SHOTS_DIR]: drives the report over the DevTools pipe
// (file descriptors 3 and 4, messages end in NUL), so no package is needed.
'use strict';
const {spawn} = require('node:child_process');
const {writeFileSync} = require('node:fs');
const {pathToFileURL} = require('node:url');
const [chromium, profile, report, shots] = process.argv.slice(2);

const browser = spawn(chromium, ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars',
  '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'],
  {stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe']});
let next = 1, rest = '';
const waiting = new Map(), events = [];
browser.stdio[4].on('data', bytes => {
  const parts = (rest + bytes).split('\0');
  rest = parts.pop();
  for (const part of parts) {
    const m = JSON.parse(part);
    if (!m.id) { events.push(m); continue; }
    const [resolve, reject] = waiting.get(m.id);
    waiting.delete(m.id);
    m.error ? reject(new Error(m.error.message)) : resolve(m.result);
  }
});
const send = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
  waiting.set(next, [resolve, reject]);
  browser.stdio[3].write(JSON.stringify({id: next++, method, params, sessionId}) + '\0');
});

let failures = 0, checks = 0;
const check = (what, ok, detail = '') => {
  ++checks;
  if (!ok) { ++failures; console.log(`FAILED ${what} ${detail}`); }
};
const pause = ms => new Promise(r => setTimeout(r, ms));

// Runs in the page. Texts of each visible SVG: none may meet another (turned ones by their quads) or
// leave its SVG; nothing may be wider than the window.
const layout = () => {
  const out = [];
  const corners = t => {
    const b = t.getBBox(), m = t.getScreenCTM();
    return [[b.x, b.y + .1 * b.height], [b.x + b.width, b.y + .1 * b.height],
            [b.x + b.width, b.y + .9 * b.height], [b.x, b.y + .9 * b.height]]
        .map(([x, y]) => [m.a * x + m.c * y + m.e, m.b * x + m.d * y + m.f]);
  };
  const apart = (p, q) => [p, q].some(r => [0, 1].some(i => {
    const n = [r[i + 1][1] - r[i][1], r[i][0] - r[i + 1][0]];
    const along = s => s.map(c => c[0] * n[0] + c[1] * n[1]);
    const a = along(p), b = along(q), slack = .5 * Math.hypot(...n);
    return Math.max(...a) <= Math.min(...b) + slack || Math.max(...b) <= Math.min(...a) + slack;
  }));
  let texts = 0;
  for (const svg of document.querySelectorAll('svg')) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    const list = [...svg.querySelectorAll('text')].filter(t => t.getBoundingClientRect().width)
        .map(t => [t.textContent, corners(t)]);
    texts += list.length;
    list.forEach(([name, p], i) => {
      if (p.some(([x, y]) => x < frame.left - .5 || x > frame.right + .5 || y < frame.top - .5 || y > frame.bottom + .5)) {
        out.push(`clipped: ${name}`);
      }
      list.slice(0, i).forEach(([other, q]) => { if (!apart(p, q)) out.push(`${name} over ${other}`); });
    });
  }
  if (document.documentElement.scrollWidth > innerWidth) out.push(`page is ${document.documentElement.scrollWidth} px wide`);
  return JSON.stringify({out, texts});
};

(async () => {
  const {targetId} = await send('Target.createTarget', {url: 'about:blank'});
  const {sessionId} = await send('Target.attachToTarget', {targetId, flatten: true});
  const page = (method, params) => send(method, params, sessionId);
  const run = async code => (await page('Runtime.evaluate', {expression: code, returnByValue: true})).result.value;
  await page('Page.enable');
  await page('Runtime.enable');
  await page('Network.enable');
  const open = async () => { await page('Page.navigate', {url: pathToFileURL(report).href}); await pause(400); };
  const shot = async name => {
    if (!shots) return;
    const {data} = await page('Page.captureScreenshot', {captureBeyondViewport: true});
    writeFileSync(`${shots}/${name}.png`, Buffer.from(data, 'base64'));
  };

  for (const width of [1280, 390]) for (const theme of ['light', 'dark']) {
    await page('Emulation.setDeviceMetricsOverride', {width, height: 900, deviceScaleFactor: 1, mobile: width < 500});
    await page('Emulation.setEmulatedMedia', {features: [{name: 'prefers-color-scheme', value: theme}]});
    await open();
    const {out, texts} = JSON.parse(await run(`(${layout})()`));
    check(`${width} px ${theme}: layout`, out.length === 0, out.slice(0, 8).join('; '));
    check(`${width} px ${theme}: texts`, texts > 200, String(texts));
    const ground = await run('getComputedStyle(document.body).backgroundColor');
    check(`${width} px ${theme}: ground`, ground === (theme === 'dark' ? 'rgb(22, 25, 28)' : 'rgb(255, 255, 255)'), ground);
    await shot(`${width}-${theme}`);
  }

  // Toggles, at 1280 px.
  await page('Emulation.setDeviceMetricsOverride', {width: 1280, height: 900, deviceScaleFactor: 1, mobile: false});
  await page('Emulation.setEmulatedMedia', {features: [{name: 'prefers-color-scheme', value: 'light'}]});
  await open();
  const shown = (figure, what) => run(`[...document.querySelectorAll('#${figure} .wide ${what}')].filter(g => g.getBoundingClientRect().width).length`);
  const click = (figure, what) => run(`document.querySelector('#${figure} .controls ${what}').click()`);
  check('L2 roof is off at first', await shown('roofline-decode', '[data-r=l2]') === 0);
  await click('roofline-decode', 'input[data-r=l2]');
  check('L2 roof comes', await shown('roofline-decode', '[data-r=l2]') > 0);
  const layers = JSON.parse(await run(`(${layout})()`)).out;
  check('L2 labels keep apart', layers.length === 0, layers.join('; '));
  await click('roofline-decode', 'input[data-r=hbm]');
  check('HBM roof goes', await shown('roofline-decode', '[data-r=hbm]') === 0);
  check('first GPU is on', await shown('roofline-gpus', '[data-g="0"]') > 0);
  await click('roofline-gpus', 'input[data-g="0"]');
  check('first GPU goes', await shown('roofline-gpus', '[data-g="0"]') === 0);
  check('second GPU stays', await shown('roofline-gpus', '[data-g="1"]') > 0);
  await run(`{const s = document.querySelector('#roofline-batches select'); s.value = '64'; s.onchange();}`);
  check('batch 64 is lit', await run(`document.querySelectorAll('#roofline-batches .wide .on[data-b="64"]').length`) > 0);
  check('batch 32 is not', await run(`document.querySelectorAll('#roofline-batches .wide .on[data-b="32"]').length`) === 0);
  await run(`{const s = document.querySelector('.tools select'); s.value = 'decode'; s.onchange();}`);
  check('other phase is hidden', await run(`document.getElementById('roofline-gpus').getBoundingClientRect().width`) === 0);

  // A real pointer over a real dot.
  await open();
  const at = JSON.parse(await run(`(() => {
    const c = document.querySelector('#roofline-decode .wide [data-t="0"] circle:last-of-type');
    c.scrollIntoView({block: 'center'});
    const b = c.getBoundingClientRect();
    return JSON.stringify({x: b.x + b.width / 2, y: b.y + b.height / 2});
  })()`));
  await page('Input.dispatchMouseEvent', {type: 'mouseMoved', ...at});
  await pause(100);
  const told = await run(`document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText`);
  for (const part of ['1 attention', '3.99', '17.1 TFLOP/s', '16.1 TFLOP/s', '9.14 GB / 4.28 TB/s']) {
    check(`tip says ${part}`, told.includes(part), JSON.stringify(told));
  }
  check('its key row is lit', await run(`[...document.querySelectorAll('#roofline-decode .wide .on[data-k="1"]')].length`) > 1);
  check('others are not', await run(`document.querySelectorAll('#roofline-decode .wide .on[data-k="2"]').length`) === 0);
  await shot('hover');
  await page('Input.dispatchMouseEvent', {type: 'mouseMoved', x: 2, y: 2});
  await pause(100);
  check('tip goes away', await run(`document.getElementById('tip').hidden`));

  // Keyboard alone.
  await run(`document.querySelector('#roofline-decode .wide [tabindex="0"]').focus()`);
  const first = await run(`document.getElementById('tip').innerText`);
  await page('Input.dispatchKeyEvent', {type: 'keyDown', key: 'ArrowRight', code: 'ArrowRight', windowsVirtualKeyCode: 39});
  const second = await run(`document.getElementById('tip').innerText`);
  check('arrows walk the points', first !== second && second.length > 10, `${first} / ${second}`);
  await page('Input.dispatchKeyEvent', {type: 'keyDown', key: 'Escape', code: 'Escape', windowsVirtualKeyCode: 27});
  check('Escape closes the tip', await run(`document.getElementById('tip').hidden`));
  await run(`document.querySelector('.tools button').click()`);
  check('dark on demand', await run('getComputedStyle(document.body).backgroundColor') === 'rgb(22, 25, 28)');

  const errors = events.filter(e => e.method === 'Runtime.exceptionThrown');
  check('no script errors', errors.length === 0, JSON.stringify(errors[0]?.params.exceptionDetails.exception));
  const asked = events.filter(e => e.method === 'Network.requestWillBeSent').map(e => e.params.request.url)
      .filter(u => !u.startsWith('file:'));
  check('nothing is fetched', asked.length === 0, asked.join(' '));

  // JavaScript off: figures, tables and titles are there.
  await page('Emulation.setScriptExecutionDisabled', {value: true});
  await open();
  const {root} = await page('DOM.getDocument', {depth: 0});
  const count = async q => (await page('DOM.querySelectorAll', {nodeId: root.nodeId, selector: q})).nodeIds.length;
  check('without JavaScript: class js is not set', await count('html.js') === 0);
  check('without JavaScript: figures', await count('figure .wide svg') === 12);
  check('without JavaScript: tables', await count('details table') === 12);
  check('without JavaScript: titles', await count('.wide g.p > title') > 100);
  await shot('no-js');

  console.log(`${checks - failures} of ${checks} browser checks passed`);
  await send('Browser.close').catch(() => {});
  process.exitCode = failures ? 1 : 0;
})().catch(error => {
  console.log('FAILED', error);
  process.exitCode = 1;
  browser.kill();
});
