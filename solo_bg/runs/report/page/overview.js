
// ---- what was run, in figures

const MOST_CLASSES = 12;

function showHead() {
  const { run, summary, sample } = DATA;
  const done = Object.values(summary.statuses).reduce((sum, many) => sum + many, 0);
  const wanted = run.inputs === undefined ? done : run.inputs;
  const took = run.end ? (new Date(run.end) - new Date(run.start)) / 1000 : null;
  const parts = [count(done, 'image')];
  if (run.source) parts.push(sourceName(run.source));
  if (run.end) parts.push(`finished ${date(run.end)}`, `took ${took < 1 ? 'less than 1 s' : duration(took)}`);
  byId('subtitle').textContent = parts.join(' \u00b7 ');
  if (sample) byId('title').textContent = 'Report of a sample';
  const notices = [];
  if (!run.end) {
    notices.push(`This run was stopped. ${number(done)} of ${count(wanted, 'input')} have a record; run the same `
      + 'command with --resume to continue.');
  }
  if (sample) {
    notices.push(`These ${count(sample.images, 'image')} are a sample; the whole run has ${number(sample.all)}. It is `
      + `expected to take ${bytes(sample.bytes)} of disk space and ${duration(sample.seconds)} on this machine. `
      + 'The pictures of the sample were not kept.');
  }
  fill(byId('notices'), ...notices.map((text) => make('p', { class: 'notice' }, text)));
  const sections = [['#overview', 'Overview'], ['#gallery', 'Images']];
  if (failures()) sections.splice(1, 0, ['#failures', 'Failures']);
  fill(byId('sections'), ...sections.map(([href, text]) => make('a', { href }, text)));
}

const failures = () => DATA.summary.statuses.error + DATA.summary.statuses.missing;

function sourceName(source) {
  if (source.name !== 'model') return `masks: ${visible(source.name)}`;
  const config = DATA.run.config || '';
  return `model ${visible(config.split(/[\\/]/).pop().replace(/\.py$/, '')) || 'unknown'}`;
}

function showFigures() {
  const { summary } = DATA;
  const figure = (value, name, kind = '') =>
    make('li', { class: kind }, make('strong', {}, value), make('span', {}, name));
  const list = Object.entries(summary.statuses)
    .filter(([status, many]) => many || status === 'ok' || status === 'error')
    .map(([status, many]) => figure(number(many), statusWord(status), many ? `status ${status}` : 'status'));
  list.push(figure(number(summary.instances), 'Instances'));
  if (summary.timed) {
    list.push(figure(percent(summary.meanShare), 'Mean foreground'));
    if (summary.meanIou !== null) list.push(figure(number(summary.meanIou, 3), 'Mean IoU with annotations'));
    list.push(figure(duration(summary.seconds / summary.timed), 'Mean time'));
    list.push(figure(duration(summary.slowest[0]), 'Longest time'));
  }
  fill(byId('figures'), ...list);
}

function showShares() {
  const { shares } = DATA.summary;
  const highest = Math.max(...shares, 1);
  const bars = shares.map((many, index) => {
    const [from, to] = [index, index + 1].map((edge) => Math.round((100 * edge) / shares.length));
    const bar = make('span', { class: 'column' });
    bar.style.height = `${many ? Math.max(1.5, (100 * many) / highest) : 0}%`;
    const label = `${from} to ${to}%: ${count(many, 'image')}`;
    const choose = () => goTo({ least: String(from), most: String(to), below: to < 100 });
    return make('li', {}, make('button', { type: 'button', 'aria-label': label, title: label, disabled: !many,
      onclick: choose }, bar));
  });
  const marks = [0, 25, 50, 75, 100].map((value) => make('span', {}, `${value}%`));
  fill(byId('shares'), make('p', { class: 'scale', 'aria-hidden': 'true' }, count(highest, 'image')),
    make('ul', { class: 'columns' }, ...bars), make('div', { class: 'axis', 'aria-hidden': 'true' }, ...marks));
}

function showClasses(most = MOST_CLASSES) {
  const sorted = [...DATA.summary.classes].sort((one, other) => other[1] - one[1]);
  const highest = sorted.length ? sorted[0][1] : 1;
  const items = sorted.slice(0, most).map(([name, instances, images]) => {
    const bar = make('span', { class: 'row' });
    bar.style.width = `${Math.max(0.7, (100 * instances) / highest)}%`;
    const label = `${visible(name)}: ${count(instances, 'instance')} in ${count(images, 'image')}`;
    return make('li', {}, make('button', { type: 'button', 'aria-label': label, title: label,
      onclick: () => goTo({ class: name }) },
    make('span', { class: 'name' }, visible(name)), make('span', { class: 'track' }, bar),
    make('span', { class: 'value' }, number(instances))));
  });
  const more = sorted.length > most
    ? make('button', { type: 'button', class: 'plain', onclick: () => showClasses(Infinity) },
      `Show all ${number(sorted.length)} classes`)
    : null;
  const none = sorted.length ? null : make('p', { class: 'hint' }, 'No instance was kept.');
  fill(byId('classes'), ...[make('ul', { class: 'rows' }, ...items), more, none].filter(Boolean));
}

function showFailures() {
  const { reasons, otherFailures } = DATA.summary;
  byId('failures').hidden = !failures();
  const items = reasons.map(([reason, many, names]) => {
    const rest = many > names.length ? ` and ${number(many - names.length)} more` : '';
    return make('li', {}, make('strong', {}, number(many)),
      make('div', {}, make('p', {}, visible(reason)), make('p', { class: 'hint' }, names.map(visible).join(', ') + rest)),
      make('button', { type: 'button', onclick: () => goTo({ reason }) }, 'Show'));
  });
  if (otherFailures) items.push(make('li', {}, make('strong', {}, number(otherFailures)), 'of other kinds'));
  fill(byId('reasons'), ...items);
}

function showAbout() {
  const { run, summary } = DATA;
  const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  const word = (value) => (typeof value !== 'string' ? JSON.stringify(value)
    : /^[0-9a-f]{64}$/.test(value) ? `SHA-256 ${value.slice(0, 12)}\u2026` : value);
  const settings = (facts) => Object.entries(facts || {})
    .filter(([, value]) => value !== null && value !== '')
    .map(([name, value]) => `${name} = ${word(value)}`).join('\n');
  const facts = {
    Command: run.command && run.command.map((word) => quote(word)).join(' '),
    Folder: run.folder,
    Config: run.config,
    Checkpoint: run.checkpoint,
    'Mask source': settings(run.source),
    Options: settings(run.options),
    Fill: (run.fills || []).map(([fill, weight]) => (run.fills.length > 1 ? `${fill} (weight ${weight})` : fill))
      .join(', '),
    Device: (run.devices || [run.device]).join(', '),
    Threads: [run.threads && `${run.threads} for the model`, run.workers && `${run.workers} for files`]
      .filter(Boolean).join(', '),
    Versions: Object.entries(run.versions || {}).map(([name, version]) => `${name} ${version || 'none'}`).join(', '),
    Machine: run.host,
    Started: run.start && date(run.start),
    Ended: run.end && date(run.end),
    'Work on all images': duration(summary.seconds),
    'Annotated objects': settings(summary.decided),
    'Annotated, not in INPUT': run.missing ? count(run.missing, 'image') : '',
  };
  const rows = Object.entries(facts).filter(([, value]) => value)
    .flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, ...lines(value))]);
  const links = DATA.files.map((name) => make('a', { href: name }, name));
  if (links.length) rows.push(make('dt', {}, 'Files'), make('dd', { class: 'links' }, ...links));
  fill(byId('facts'), ...rows);
}

const lines = (text) => String(text).split('\n').flatMap((line, index) =>
  (index ? [make('br'), visible(line)] : [visible(line)]));
