from solo_bg.coco.match import match, pair_by_ends


def with_images(*names):
    return [{'id': index, 'file_name': name, 'height': 1, 'width': 1} for index, name in enumerate(names)]


def test_images_are_matched_by_path_then_by_a_base_name_that_is_unique_on_both_sides():
    images = with_images('a/1.png', 'b/1.png', 'old/2.png', 'old/3.png', 'new/3.png', '4.png', '5.png')
    files = ['a/1.png', 'c/1.png', 'x/2.png', 'x/3.png', 'x/4.png', 'y/4.png', 'z/9.png']
    matches = match(images, {f'in/{name}': name for name in files})
    assert {key: image['file_name'] for key, image in matches.found.items()} == {
        'in/a/1.png': 'a/1.png',
        'in/c/1.png': 'b/1.png',  # the other 1.png is taken by its path
        'in/x/2.png': 'old/2.png',
    }
    assert matches.missing == ['old/3.png', 'new/3.png', '4.png', '5.png']
    assert matches.unknown == ['in/x/3.png', 'in/x/4.png', 'in/y/4.png', 'in/z/9.png']


def test_files_that_share_a_path_below_input_are_ambiguous():
    names = {'x/1.png': '1.png', 'y/1.png': '1.png', 'x/a/2.png': 'a/2.png'}
    matches = match(with_images('./1.png', 'a\\2.png'), names)
    assert matches.ambiguous == ['x/1.png', 'y/1.png'] and matches.missing == [] and matches.unknown == []
    assert list(matches.found) == ['x/a/2.png']


def test_an_image_is_found_though_input_is_its_own_folder():
    """INPUT is `cat/`, so the file's path below it is `1.png`, and there is a `dog/1.png` too."""
    images = with_images('cat/1.png', 'dog/1.png')
    matches = match(images, {'cat/1.png': '1.png'}, {'cat/1.png': '/data/cat/1.png'})
    assert matches.found == {'cat/1.png': images[0]} and matches.missing == ['dog/1.png'] and matches.unknown == []


def test_several_inputs_hold_files_of_one_name():
    images = with_images('data/cat/1.png', 'data/dog/1.png')
    paths = {f'{animal}/1.png': f'/here/{animal}/1.png' for animal in ('cat', 'dog', 'cow')}
    matches = match(images, dict.fromkeys(paths, '1.png'), paths)
    assert matches.found == {'cat/1.png': images[0], 'dog/1.png': images[1]} and matches.unknown == ['cow/1.png']


def test_the_longest_common_end_decides():
    images = with_images('train/cat/1.png', 'val/cat/1.png', 'train/dog/1.png')
    paths = {'a': '/x/train/cat/1.png', 'b': '/x/val/cat/1.png', 'c': '/x/dog/1.png', 'd': '/x/cow/1.png'}
    matches = match(images, {key: f'{key}.png' for key in paths}, paths)
    assert matches.found == {'a': images[0], 'b': images[1], 'c': images[2]} and matches.unknown == ['d']


def test_equal_ends_match_nothing():
    images = with_images('a/cat/1.png', 'b/cat/1.png')
    matches = match(images, {'k': 'c/cat/1.png'})
    assert matches.found == {} and matches.unknown == ['k'] and matches.missing == ['a/cat/1.png', 'b/cat/1.png']


def test_a_pair_is_taken_once():
    assert pair_by_ends({1: ('a', 'x'), 2: ('b', 'x')}, {3: ('a', 'x'), 4: ('c', 'x')}) == {1: 3, 2: 4}


def test_names_that_differ_in_case_alone_get_a_hint():
    matches = match(with_images('cat/1.JPG', 'dog/2.JPG', '3.png'), {'in/cat/1.jpg': 'cat/1.jpg', 'in/4.png': '4.png'})
    assert matches.found == {} and matches.missing == ['cat/1.JPG', 'dog/2.JPG', '3.png']
    assert list(matches.hints) == ['cat/1.JPG']
    assert matches.hints['cat/1.JPG'].startswith('in/cat/1.jpg differs from cat/1.JPG only in upper and lower case')
