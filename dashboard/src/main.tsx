// main.tsx - the dashboard: a client of the REST API and nothing else.
import { render } from 'preact';
import { App } from './app';
import { resume } from './session';
import './style.css';

const page = document.getElementById('page');
if (page) render(<App />, page);
void resume();
