/**
 * Chat templates by name, each a format that models publish, as Jinja over `messages`, `bos_token`, `eos_token` and
 * `add_generation_prompt`. A message is { role, content }; what a format has no place for is put where its users put it.
 */
export const BUILTIN_TEMPLATES: Readonly<Record<string, string>> = {
  // Stanford Alpaca: sections under headings; a system message is the text before the first.
  alpaca: [
    '{%- for message in messages -%}',
    "{%- if message.role == 'system' -%}",
    "{{ message.content + '\\n\\n' }}",
    "{%- elif message.role == 'user' -%}",
    "{{ '### Instruction:\\n' + message.content + '\\n\\n' }}",
    '{%- else -%}',
    "{{ '### Response:\\n' + message.content }}{{ eos_token }}{{ '\\n\\n' }}",
    '{%- endif -%}',
    '{%- endfor -%}',
    "{%- if add_generation_prompt -%}{{ '### Response:\\n' }}{%- endif -%}",
  ].join(''),

  // ChatML: every turn between <|im_start|> and <|im_end|>.
  chatml: [
    '{%- for message in messages -%}',
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}",
    '{%- endfor -%}',
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}",
  ].join(''),

  // Llama 3: a header with the role, an empty line, the content without surrounding space, end of turn.
  llama3: [
    '{{ bos_token }}',
    '{%- for message in messages -%}',
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}",
    '{%- endfor -%}',
    "{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}",
  ].join(''),

  // Mistral: instructions in brackets; a system message opens the instruction that follows it.
  mistral: [
    '{{ bos_token }}',
    "{%- set pending = namespace(system='') -%}",
    '{%- for message in messages -%}',
    "{%- if message.role == 'system' -%}",
    "{%- set pending.system = message.content + '\\n\\n' -%}",
    "{%- elif message.role == 'user' -%}",
    "{{ '[INST] ' + pending.system + message.content + ' [/INST]' }}",
    "{%- set pending.system = '' -%}",
    '{%- else -%}',
    "{{ ' ' + message.content }}{{ eos_token }}",
    '{%- endif -%}',
    '{%- endfor -%}',
  ].join(''),

  // EXAONE: roles in marks; system and assistant end their turn with one, the user with a line. The system turn is always there.
  exaone: [
    "{%- if not messages or messages[0].role != 'system' -%}{{ '[|system|][|endofturn|]\\n' }}{%- endif -%}",
    '{%- for message in messages -%}',
    "{{ '[|' + message.role + '|]' + message.content }}",
    "{%- if message.role == 'user' -%}{{ '\\n' }}{%- else -%}{{ '[|endofturn|]\\n' }}{%- endif -%}",
    '{%- endfor -%}',
    "{%- if add_generation_prompt -%}{{ '[|assistant|]' }}{%- endif -%}",
  ].join(''),
};
