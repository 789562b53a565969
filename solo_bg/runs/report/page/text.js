'use strict';

// ---- the data, and words for it

const DATA = JSON.parse(document.getElementById('data').textContent);
const [INPUT, STATUS, SHARE, INSTANCES, CLASSES, SECONDS, THUMBNAIL, OUTPUTS, ERROR, MORE] = Array(10).keys();
const CLASS_NAMES = DATA.summary.classes.map(([name]) => name);
const STYLES = DATA.summary.styles;
const STATUS_WORDS = {
  ok: 'Done', empty: 'Empty', rejected: 'Rejected', unlabelled: 'Unlabelled', missing: 'Missing', error: 'Failed',
};
const STATUS_MEANINGS = {
  ok: 'pictures were written',
  empty: 'no instance was found',
  rejected: 'the masks agree too little with the annotations',
  unlabelled: 'not in the annotations',
  missing: 'only in the annotations',
  error: 'could not be processed',
};

const byId = (id) => document.getElementById(id);
const number = (value, digits = 0) =>
  value.toLocaleString('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (share) => `${number(100 * share, share > 0 && share < 0.1 ? 1 : 0)}%`;
const count = (many, one, more = `${one}s`) => `${number(many)} ${many === 1 ? one : more}`;
const statusOf = (row) => (typeof row[STATUS] === 'number' ? DATA.statuses[row[STATUS]] : row[STATUS]);
const statusWord = (status) => STATUS_WORDS[status] || visible(status);
const date = (text) => new Date(text).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

function duration(seconds) {
  if (seconds < 1) return `${number(1000 * seconds)} ms`;
  if (seconds < 60) return `${number(seconds, seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${number(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

function bytes(size) {
  const step = size < 1e6 ? 3 : size < 1e9 ? 6 : size < 1e12 ? 9 : 12;
  return `${number(size / 10 ** step, size / 10 ** step < 10 ? 1 : 0)} ${{ 3: 'kB', 6: 'MB', 9: 'GB', 12: 'TB' }[step]}`;
}

// A name as text on one line: control characters, marks that turn the writing direction, and bytes that are no UTF-8
// are written as escapes.
function visible(text) {
  return [...String(text)].map((letter) => {
    const code = letter.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
    const hidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(letter) && code !== 0x200d; // an emoji's joiner
    return hidden ? `\\u${code.toString(16).padStart(4, '0')}` : letter;
  }).join('');
}

// A path as a link. Python keeps a byte that is no UTF-8 as a lone surrogate; the link has the byte itself.
function link(path) {
  const part = (text) => [...text].map((letter) => {
    const code = letter.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return `%${(code - 0xdc00).toString(16)}`;
    return code >= 0xd800 && code <= 0xdfff ? '%EF%BF%BD' : encodeURIComponent(letter);
  }).join('');
  return path.split('/').map(part).join('/');
}

// Where an input lies: null if that is not known.
function inputLink(path) {
  if (/^[A-Za-z]:\//.test(path)) return `file:///${path.slice(0, 2)}${link(path.slice(2))}`;
  if (path.startsWith('/')) return `file://${link(path)}`;
  if (DATA.inputs === null) return null;
  return `${/^(\/|[A-Za-z]:)/.test(DATA.inputs) ? inputLink(DATA.inputs) : link(DATA.inputs)}/${link(path)}`;
}

// ---- elements: text goes in as text nodes only, so that no name can be markup

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function fill(parent, ...children) {
  parent.replaceChildren(...children);
}
