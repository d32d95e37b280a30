/* wordcount OUT: how often each word stands in the file that $texts names, as lines "count word"
 * in a file of the same name in the folder OUT.
 *
 * A word is a run of ASCII letters, in lower case; lines are in the order of the words. Linked
 * statically it needs no C library beside it, so its image holds it alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_word(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int fail(const char *name) {
  perror(name);
  return 1;
}

int main(int argc, char **argv) {
  const char *input = getenv("texts");
  if (argc != 2 || !input || !strrchr(input, '/')) {
    fprintf(stderr, "usage: texts=/FOLDER/FILE wordcount OUT\n");
    return 2;
  }
  char output[4096];
  snprintf(output, sizeof output, "%s%s", argv[1], strrchr(input, '/'));

  FILE *in = fopen(input, "r");
  if (!in || fseek(in, 0, SEEK_END)) return fail(input);
  long size = ftell(in);
  rewind(in);
  /* a text of n bytes has at most (n + 1) / 2 words */
  char *text = malloc((size_t)size + 1), **words = malloc(sizeof *words * ((size_t)size / 2 + 1));
  if (!text || !words) return fail("memory");
  if (fread(text, 1, (size_t)size, in) != (size_t)size) return fail(input);
  fclose(in);

  size_t count = 0;
  char *word = NULL;
  for (long i = 0; i <= size; i++) {
    char c = i < size ? text[i] : 0;
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if (c >= 'a' && c <= 'z') {
      text[i] = c;
      if (!word) word = text + i;
    } else if (word) {
      text[i] = 0;
      words[count++] = word;
      word = NULL;
    }
  }
  qsort(words, count, sizeof *words, by_word);

  FILE *out = fopen(output, "w");
  if (!out) return fail(output);
  for (size_t i = 0, same; i < count; i += same) {
    for (same = 1; i + same < count && !strcmp(words[i], words[i + same]); same++) continue;
    fprintf(out, "%zu %s\n", same, words[i]);
  }
  return fclose(out) ? fail(output) : 0;
}
