
// ---- the records, as cards that can be filtered

const PER_PAGE = 48;
const FIELDS = ['text', 'class', 'least', 'most', 'sort'];
const NOTHING = { status: '', text: '', class: '', least: '', most: '', reason: '', sort: 'name' };
const rows = [...DATA.rows];
const total = Object.values(DATA.summary.statuses).reduce((sum, many) => sum + many, 0);
const state = { ...NOTHING, below: false, view: DATA.kind === 'full' ? 'all' : 'none', page: 0 };
let found = [];

const kindOf = (reason) => reason.replace(/[0-9]+/g, '0'); // as in summary.py
const bin = (value) => (value === '' || Number.isNaN(Number(value)) ? null : Number(value) / 100);

function matching() {
  const least = bin(state.least);
  const most = bin(state.most);
  const wanted = state.text.toLowerCase();
  const label = state.class === '' ? -1 : CLASS_NAMES.indexOf(state.class);
  const reason = state.reason && kindOf(state.reason);
  const ranged = least !== null || most !== null;
  const fits = (row) => {
    if (state.status && statusOf(row) !== state.status) return false;
    if (ranged && (row[SHARE] === null || (least !== null && row[SHARE] < least))) return false;
    if (most !== null && (state.below ? row[SHARE] >= most : row[SHARE] > most)) return false;
    if (state.class !== '' && !row[CLASSES].some((value, index) => index % 2 === 0 && value === label)) return false;
    if (reason && !(row[ERROR] && kindOf(row[ERROR]) === reason)) return false;
    return !wanted || row[INPUT].toLowerCase().includes(wanted)
      || Boolean(row[ERROR] && row[ERROR].toLowerCase().includes(wanted));
  };
  const chosen = rows.filter(fits);
  const column = { share: SHARE, instances: INSTANCES, seconds: SECONDS }[state.sort.replace('-', '')];
  if (column === undefined) return chosen;
  const sign = state.sort.startsWith('-') ? -1 : 1;
  const value = (row) => (row[column] === null ? Infinity : sign * row[column]); // images without a share come last
  return chosen.sort((one, other) => value(one) - value(other) || 0);
}

function refresh(keepPage = false) {
  found = matching();
  const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
  state.page = keepPage ? Math.min(state.page, pages - 1) : 0;
  const filtered = Object.keys(NOTHING).some((name) => name !== 'sort' && state[name] !== '');
  const reason = state.reason ? ` with the reason \u201c${visible(state.reason)}\u201d` : '';
  const loading = rows.length < total ? `; ${number(rows.length)} of ${number(total)} records are loaded` : '';
  byId('count').textContent = (filtered ? `${number(found.length)} of ${count(total, 'image')}${reason}`
    : count(total, 'image')) + loading;
  byId('clear').hidden = !filtered;
  showPage();
  remember();
}

function showPage() {
  const start = state.page * PER_PAGE;
  const shown = found.slice(start, start + PER_PAGE);
  byId('cards').className = `cards ${state.view}`;
  byId('cards').style.setProperty('--tiles', state.view === 'all' ? String(1 + STYLES.length) : '1');
  fill(byId('cards'), ...shown.map((row, index) => card(row, start + index)));
  if (!shown.length) fill(byId('cards'), make('li', { class: 'nothing' }, 'No image matches these filters.'));
  const pages = Math.ceil(found.length / PER_PAGE);
  const go = (page) => () => {
    state.page = page;
    showPage();
    byId('gallery').scrollIntoView();
    byId('gallery').focus({ preventScroll: true });
  };
  const button = (text, page) => make('button', { type: 'button', disabled: page < 0 || page >= pages,
    onclick: go(page) }, text);
  fill(byId('pager'), ...(pages > 1 ? [button('First', state.page ? 0 : -1), button('Previous', state.page - 1),
    make('span', {}, `Page ${number(state.page + 1)} of ${number(pages)}`), button('Next', state.page + 1),
    button('Last', state.page === pages - 1 ? pages : pages - 1)] : []));
}

function card(row, index) {
  const status = statusOf(row);
  const name = visible(row[INPUT]);
  const tiles = !row[THUMBNAIL] ? [] : { all: ['original', ...STYLES], none: [] }[state.view] || [state.view];
  const names = ['original', ...Object.keys(row[OUTPUTS])];
  const pictures = tiles.map((tile) => frame(row, names.indexOf(tile), tile));
  const details = row[SHARE] === null ? '' : `${percent(row[SHARE])} \u00b7 ${classText(row) || 'nothing found'}`;
  const badge = status === 'ok' ? null : make('span', { class: `badge ${status}` }, statusWord(status));
  return make('li', {}, make('button', { type: 'button', class: 'card', onclick: () => view(index), title: name },
    pictures.length ? make('span', { class: 'strip' }, ...pictures) : null,
    make('span', { class: 'caption' }, make('span', { class: 'name' }, name.split('/').pop()), badge),
    make('span', { class: 'hint' }, row[ERROR] ? visible(row[ERROR]) : details)));
}

function classText(row) {
  const words = [];
  for (let index = 0; index < row[CLASSES].length; index += 2) {
    const many = row[CLASSES][index + 1];
    words.push(`${many > 1 ? `${number(many)} \u00d7 ` : ''}${visible(CLASS_NAMES[row[CLASSES][index]])}`);
  }
  return words.join(', ');
}

// One tile of a thumbnail, which holds the image and its pictures side by side.
function frame(row, index, name) {
  const tiles = 1 + Object.keys(row[OUTPUTS]).length;
  if (index < 0) return make('span', { class: 'frame', title: `no ${name}` }, '\u2013');
  const image = make('img', { src: `report/thumbs/${row[THUMBNAIL]}`, loading: 'lazy', decoding: 'async', alt: '' });
  const part = make('span', { class: 'part' }, image);
  image.style.width = `${100 * tiles}%`;
  image.style.transform = `translateX(${(-100 * index) / tiles}%)`;
  image.addEventListener('load', () => {
    const ratio = image.naturalWidth / tiles / image.naturalHeight;
    part.style.aspectRatio = String(ratio);
    part.classList.toggle('wide', ratio > 4 / 3);
  });
  image.addEventListener('error', () => part.replaceChildren('no thumbnail'));
  return make('span', { class: 'frame', title: name }, part);
}

// ---- the filters, which are kept in the address

function remember() {
  const kept = Object.entries({ ...state, below: state.below ? '1' : '' })
    .filter(([name, value]) => name in { ...NOTHING, below: 1 } && value !== '' && value !== NOTHING[name]);
  const text = new URLSearchParams(kept).toString();
  try {
    history.replaceState(null, '', text ? `#${text}` : location.pathname + location.search);
  } catch { /* some browsers forbid it for files */ }
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(NOTHING)) state[name] = given.get(name) || NOTHING[name];
  state.below = given.get('below') === '1';
}

function showFilters() {
  for (const name of FIELDS) byId(name).value = state[name];
  for (const input of byId('statuses').querySelectorAll('input')) input.checked = input.value === state.status;
}

function goTo(wanted) {
  Object.assign(state, NOTHING, { below: false, sort: state.sort }, wanted);
  showFilters();
  refresh();
  byId('gallery').scrollIntoView();
  byId('gallery').focus({ preventScroll: true });
}

function segment(group, value, text, checked, choose) {
  return make('label', {}, make('input', { type: 'radio', name: group, value, checked, onchange: choose }),
    make('span', {}, text));
}

function setUpFilters() {
  const statuses = Object.entries(DATA.summary.statuses).filter(([, many]) => many);
  const choose = (status) => () => { state.status = status; refresh(); };
  byId('statuses').append(segment('status', '', 'All', true, choose('')), ...statuses.map(([status, many]) => {
    const label = segment('status', status, `${statusWord(status)} ${number(many)}`, false, choose(status));
    label.title = STATUS_MEANINGS[status] || '';
    return label;
  }));
  const views = DATA.kind === 'full' ? [['all', 'Side by side'], ['original', 'Original'],
    ...STYLES.map((style) => [style, style[0].toUpperCase() + style.slice(1)])] : [];
  byId('views').hidden = !views.length;
  byId('views').append(...views.map(([view, text]) => segment('view', view, text, view === state.view, () => {
    state.view = view;
    showPage();
  })));
  const names = [...DATA.summary.classes].sort((one, other) => one[0].localeCompare(other[0]));
  fill(byId('class'), make('option', { value: '' }, 'all'), ...names.map(([name, , images]) =>
    make('option', { value: name }, `${visible(name)} (${number(images)})`)));
  let timer = 0;
  for (const name of FIELDS) {
    byId(name).addEventListener('input', () => {
      if (name === 'most') state.below = false;
      clearTimeout(timer);
      timer = setTimeout(() => { // of all fields: another one may have changed a moment ago
        for (const field of FIELDS) state[field] = byId(field).value;
        refresh();
      }, 120);
    });
  }
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  byId('clear').addEventListener('click', () => goTo({}));
}

// ---- the records that are not in the page

function addRecords(chunk, more) { // each chunk is a script that calls this
  for (const row of more) rows.push(row);
}

function loadChunks(index = 0) {
  if (index === DATA.chunks.length) {
    refresh(true);
    return;
  }
  const script = make('script', { src: DATA.chunks[index], onload: () => {
    if (index % 5 === 4) refresh(true);
    loadChunks(index + 1);
  }, onerror: () => {
    byId('notices').append(make('p', { class: 'notice' },
      `${DATA.chunks[index]} cannot be loaded, so that some records are not shown. Keep the folder report beside `
      + 'report.html.'));
    loadChunks(index + 1);
  } });
  document.head.append(script);
}
