#!/usr/bin/env node
const ms = require('ms');
const colors = require('picocolors');

const span = Number(process.argv[2]);
const words = ms(span, { long: true });
console.log(span >= DAY ? colors.bold(words) : words);
