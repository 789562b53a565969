
// ---- one image, large

let viewed = 0;

function view(index) {
  viewed = index;
  const row = found[index];
  byId('viewer-title').textContent = visible(row[INPUT]);
  byId('previous').disabled = index === 0;
  byId('next').disabled = index === found.length - 1;
  const pictures = row[SHARE] === null ? [] : [['original', inputLink(row[INPUT])], ...Object.entries(row[OUTPUTS])
    .map(([style, path]) => [style, path && link(path)])];
  fill(byId('pictures'), ...pictures.map(([name, href], tile) => picture(row, name, href, tile)));
  showRecord(row);
  if (!byId('viewer').open) byId('viewer').showModal();
}

function picture(row, name, href, tile) {
  const caption = make('figcaption', {}, name[0].toUpperCase() + name.slice(1));
  const small = () => (row[THUMBNAIL] ? frame(row, tile, name)
    : make('p', { class: 'hint' }, 'A browser cannot show this file.'));
  if (!href) return make('figure', {}, small(), caption);
  const isNumbers = name === 'labels'; // of 16 bits, which a browser shows as black
  const image = isNumbers ? small() : make('img', { src: href, alt: `${name} of ${visible(row[INPUT])}`, decoding: 'async' });
  image.addEventListener('error', () => image.replaceWith(small()));
  caption.append(' ', make('a', { href, target: '_blank', rel: 'noopener' }, 'open the file'));
  return make('figure', {}, image, caption);
}

function showRecord(row) {
  const status = statusOf(row);
  const more = row[MORE] || {};
  const facts = {
    Status: `${statusWord(status)}${STATUS_MEANINGS[status] ? ` (${STATUS_MEANINGS[status]})` : ''}`,
    Reason: row[ERROR],
    Foreground: row[SHARE] === null ? '' : `${number(100 * row[SHARE], 2)}% of the pixels`,
    Instances: row[SHARE] === null ? '' : [number(row[INSTANCES]), classText(row)].filter(Boolean).join(': '),
    Time: row[SECONDS] ? duration(row[SECONDS]) : '',
    'IoU with annotations': more.iou === undefined ? '' : number(more.iou, 3),
    Fill: more.fill,
    'Restored of the annotated pixels': more.restored === undefined ? '' : percent(more.restored),
    'Annotated objects': Object.entries(more.decisions || {}).map(([rule, many]) => `${rule}: ${many}`).join(', '),
  };
  const shown = Object.entries(facts).filter(([, value]) => value);
  fill(byId('record'), ...shown.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, visible(value))]));
}

function step(by) {
  const index = viewed + by;
  if (index >= 0 && index < found.length) view(index);
}

function setUpViewer() {
  const viewer = byId('viewer');
  byId('previous').addEventListener('click', () => step(-1));
  byId('next').addEventListener('click', () => step(1));
  byId('close').addEventListener('click', () => viewer.close());
  viewer.addEventListener('click', (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) step(by);
  });
  viewer.addEventListener('close', () => {
    const page = Math.floor(viewed / PER_PAGE);
    if (page !== state.page) {
      state.page = page;
      showPage();
    }
    const button = byId('cards').children[viewed % PER_PAGE]?.querySelector('button');
    if (button) button.focus();
  });
}

recall();
setUpFilters();
setUpViewer();
showHead();
showFigures();
showShares();
showClasses();
showFailures();
showAbout();
showFilters();
refresh();
loadChunks();
