// Behaviour of the report: tips, highlights between key and dots, toggles, theme, saving. The page
// is complete without it. Data: <script type="application/json" id="data">.
'use strict';
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById('data').textContent);
  const tip = document.getElementById('tip');
  const all = (from, query) => [...from.querySelectorAll(query)];
  const make = (name, text, parent) => {
    const e = document.createElement(name);
    e.textContent = text;
    if (parent) parent.append(e);
    return e;
  };
  root.classList.add('js');

  // Tips: built from text nodes only, so no value can become markup.
  const show = (mark, info) => {
    tip.replaceChildren();
    make('b', info.name, tip);
    const table = make('table', '', tip);
    for (const [name, value] of info.rows) {
      const row = table.insertRow();
      make('td', name, row);
      make('td', value, row).className = 'n';
    }
    if (info.derivation) make('div', info.derivation, tip).className = 'muted';
    tip.hidden = false;
    const at = mark.getBoundingClientRect(), box = tip.getBoundingClientRect();
    const fits = at.right + 8 + box.width < root.clientWidth;
    const left = fits ? at.right + 8 : Math.max(4, Math.min(at.left, root.clientWidth - box.width - 4));
    const below = at.bottom + 8 + box.height < root.clientHeight;
    const top = fits ? at.top : below ? at.bottom + 8 : at.top - box.height - 8;
    tip.style.left = left + scrollX + 'px';
    tip.style.top = Math.max(scrollY + 4, top + scrollY) + 'px';
  };

  const light = (figure, wanted) => {  // wanted: which groups stay bright; null: all
    figure.classList.toggle('focus', Boolean(wanted));
    for (const g of all(figure, 'g[data-k],g[data-b]')) g.classList.toggle('on', Boolean(wanted) && wanted(g));
  };

  const checkbox = (parent, name, on, change) => {
    const label = make('label', '', parent);
    const box = make('input', '', label);
    box.type = 'checkbox';
    box.checked = on;
    box.onchange = () => change(box.checked);
    label.append(' ' + name);
    return box;
  };

  const select = (parent, name, values, change) => {
    const label = make('label', name + ' ', parent);
    const list = make('select', '', label);
    for (const v of values) make('option', v, list).value = v;
    list.onchange = () => change(list.selectedIndex === 0 ? null : list.value);
    return list;
  };

  for (const figure of all(document, 'figure')) {
    const info = data.figures[figure.id];
    const controls = figure.querySelector('.controls');
    const off = {g: new Set(), r: new Set()};
    let batch = null;  // what is lit when nothing is pointed at
    const rest = () => light(figure, batch === null ? null : g => !g.dataset.b || g.dataset.b === batch);
    const apply = () => {
      for (const g of all(figure, 'g[data-g],g[data-r]')) {
        g.classList.toggle('off', off.g.has(g.dataset.g) || off.r.has(g.dataset.r));
      }
    };
    for (const g of all(figure, 'g.off[data-r]')) off.r.add(g.dataset.r);
    const toggle = (kind, id, name) =>
        checkbox(controls, name, !off[kind].has(id), on => { off[kind][on ? 'delete' : 'add'](id); apply(); })
            .dataset[kind] = id;
    if (info.gpus.length > 1) info.gpus.forEach((name, i) => toggle('g', String(i), name));
    for (const [id, name] of info.roofs) toggle('r', id, name);
    const batches = [...new Set(all(figure, 'g[data-b]').map(g => g.dataset.b))].sort((a, b) => a - b);
    if (batches.length) select(controls, 'batch', ['all', ...batches], v => { batch = v; rest(); });

    for (const svg of all(figure, 'svg')) {
      const marks = all(svg, '.p');
      const open = mark => {
        show(mark, info.tips[mark.dataset.t]);
        const key = mark.dataset.k, number = mark.dataset.b;
        if (key || number) light(figure, g => key ? g.dataset.k === key : g.dataset.b === number);
      };
      const close = () => { tip.hidden = true; rest(); };
      marks.forEach((mark, i) => {
        const title = mark.querySelector('title');  // our tip replaces the browser's
        if (title) title.remove();
        const told = info.tips[mark.dataset.t];
        mark.setAttribute('role', 'img');
        mark.setAttribute('aria-label', [told.name, ...told.rows.map(r => r.join(' '))].join(', '));
        mark.setAttribute('tabindex', i === 0 ? '0' : '-1');
        mark.onmouseenter = mark.onfocus = () => open(mark);
        mark.onmouseleave = mark.onblur = close;
        mark.onkeydown = event => {  // one tab stop a figure; arrows walk through its points
          const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
          if (event.key === 'Escape') close();
          if (!step) return;
          event.preventDefault();
          const live = marks.filter(m => m.getBoundingClientRect().width > 0);
          const next = live[(live.indexOf(mark) + step + live.length) % live.length];
          mark.setAttribute('tabindex', '-1');
          next.setAttribute('tabindex', '0');
          next.focus();
        };
      });
    }

    const save = make('button', 'Save SVG', controls);
    save.onclick = () => {
      const shown = all(figure, 'svg').find(s => s.getBoundingClientRect().width > 0).cloneNode(true);
      all(shown, '.off').forEach(g => g.remove());
      const ground = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
      ground.setAttribute('class', 'f10');
      ground.setAttribute('width', '100%');
      ground.setAttribute('height', '100%');
      shown.prepend(document.getElementById('svg-style').cloneNode(true), ground);
      const text = new XMLSerializer().serializeToString(shown);
      const link = make('a', '');
      link.href = URL.createObjectURL(new Blob([text], {type: 'image/svg+xml'}));
      link.download = figure.id + '.svg';
      link.click();
      URL.revokeObjectURL(link.href);
    };
  }

  const tools = document.querySelector('.tools');
  const phases = [...new Set(all(document, 'figure[data-phase]').map(f => f.dataset.phase))];
  if (phases.length > 1) {
    select(tools, 'phase', ['all', ...phases], v => {
      for (const f of all(document, 'figure[data-phase]')) f.hidden = v !== null && f.dataset.phase !== v;
    });
  }
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' :
      matchMedia('(prefers-color-scheme: dark)').matches;
  make('button', 'Dark / light', tools).onclick = () => { root.dataset.theme = dark() ? 'light' : 'dark'; };
  addEventListener('beforeprint', () => all(document, 'details').forEach(d => { d.open = true; }));
})();
